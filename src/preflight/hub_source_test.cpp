// A repository of the hub is checked from its config and headers; its weights are never asked for.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/file.h"
#include "io/hub/fake_hub.h"
#include "preflight/check_report.h"
#include "support/expect_error.h"
#include "support/shared_dir.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

namespace fs = std::filesystem;
using mach::testing::FakeHub;
using mach::testing::FakeRequest;
using mach::testing::FakeResponse;
using mach::testing::TempDir;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";
constexpr const char* kToken = "s3cret-t0ken";

// The demo checkpoint of the source tree as a repository.
class HubCheck : public ::testing::Test {
 protected:
  HubCheck() {
    const fs::path model = mach::testing::source_dir() / "models/mini-qwen3_moe-mlx-4bit";
    for (const char* name : {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"})
      files_[name] = read_text_file(model / name, uint64_t{64} << 20);
    settings_.endpoint = hub_.url();
    settings_.token = kToken;
    settings_.tries = 2;
  }

  FakeResponse answer(const FakeRequest& request) {
    if (fault_) return *fault_;
    const std::string listing = "/api/models/org/name/revision/";
    if (request.path.starts_with(listing)) {
      nlohmann::json siblings = nlohmann::json::array();
      for (const auto& [path, text] : files_)
        siblings.push_back({{"rfilename", path}, {"size", text.size()}, {"blobId", std::string(40, 'a')}});
      return {200, {}, nlohmann::json{{"sha", kCommit}, {"siblings", siblings}}.dump(), -1};
    }
    const std::string file = std::string("/org/name/resolve/") + kCommit + "/";
    if (!request.path.starts_with(file)) return {404, {}, "", -1};
    const std::string name = request.path.substr(file.size());
    const auto found = files_.find(name);
    if (found == files_.end()) return {404, {}, "", -1};
    FakeRequest seen = request;
    if (!ranges_) seen.range_begin = -1;
    FakeResponse response = mach::testing::ranged(seen, found->second);
    const std::lock_guard lock(mutex_);
    asked_[name] += response.body.size();
    return response;
  }

  SourceOptions options() {
    SourceOptions out;
    out.cache_root = cache_.path();
    out.hub.hf_hub_cache = (cache_.path() / "hub").string();
    out.settings = settings_;
    out.warn = [this](const std::string& text) { warnings_ += text + "\n"; };
    return out;
  }
  CheckReport check(const SourceOptions& options, const std::string& model = "org/name") {
    return make_check_report(*open_model_source(model, options), {});
  }

  std::map<std::string, std::string> files_;
  std::map<std::string, uint64_t> asked_;  // body bytes offered per file
  std::optional<FakeResponse> fault_;
  bool ranges_ = true;
  std::mutex mutex_;
  std::string warnings_;
  TempDir cache_;
  FakeHub hub_{[this](const FakeRequest& request) { return answer(request); }};
  HubSettings settings_;
};

TEST_F(HubCheck, SizesAreExactAndWeightsStayWhereTheyAre) {
  const CheckReport report = check(options());
  EXPECT_TRUE(report.supported) << report.problem;
  EXPECT_EQ(report.model, "org/name");
  EXPECT_FALSE(report.local);
  EXPECT_TRUE(report.exact_sizes);
  EXPECT_EQ(report.layout, "stacked");
  EXPECT_EQ(report.quant, "affine 4-bit g64");
  EXPECT_TRUE(report.artifacts.tokenizer);
  // What a folder of the same files says.
  const CheckReport local = make_check_report(
      *local_source(ModelDirectory::at(mach::testing::source_dir() / "models/mini-qwen3_moe-mlx-4bit")), {});
  EXPECT_EQ(report.memory->experts, local.memory->experts);
  EXPECT_EQ(report.memory->resident_weights, local.memory->resident_weights);
  EXPECT_EQ(asked_.count("tokenizer.json"), 0U);
  for (const auto& entry : fs::recursive_directory_iterator(cache_.path())) {
    if (entry.is_regular_file()) {
      EXPECT_LT(entry.file_size(), files_["model.safetensors"].size() / 10) << entry.path();
    }
  }
}

TEST_F(HubCheck, OnlyTheHeadersPartOfAShardIsAskedFor) {
  check(options());
  EXPECT_LE(asked_["model.safetensors"], uint64_t{256} << 10);
}

TEST_F(HubCheck, ASecondCheckFetchesNoFile) {
  check(options());
  const uint32_t before = hub_.requests();
  EXPECT_TRUE(check(options()).exact_sizes);
  EXPECT_EQ(hub_.requests(), before + 1);  // the listing, which tells whether the branch moved
}

TEST_F(HubCheck, LocalOnlyAnswersFromWhatWasFetchedAndAsksNobody) {
  SourceOptions offline = options();
  offline.local_only = true;
  EXPECT_MACH_ERROR(check(offline), ErrorCode::kNotFound, HasSubstr("--local-only"));
  EXPECT_EQ(hub_.requests(), 0U);
  check(options());
  const uint32_t before = hub_.requests();
  EXPECT_TRUE(check(offline).supported);
  EXPECT_EQ(hub_.requests(), before);
}

TEST_F(HubCheck, WithoutNetworkTheFactsFetchedBeforeServeWithAWarning) {
  SourceOptions nowhere = options();
  nowhere.settings.endpoint = "http://127.0.0.1:1";
  check(options());
  // Port 1 refuses at once; the retries of the client take a few seconds.
  EXPECT_TRUE(check(nowhere).supported);
  EXPECT_THAT(warnings_, HasSubstr("using what was fetched before"));
}

TEST_F(HubCheck, AHubThatIgnoresRangesIsLeftInTime) {
  ranges_ = false;
  EXPECT_TRUE(check(options()).exact_sizes);
}

TEST_F(HubCheck, ARevisionIsAskedForByName) {
  SourceOptions with_revision = options();
  with_revision.revision = "v2";
  EXPECT_TRUE(check(with_revision).supported);
  EXPECT_TRUE(fs::exists(cache_.path() / "check/models--org--name/refs/v2"));
  with_revision.revision = "../../x";
  EXPECT_MACH_ERROR(check(with_revision), ErrorCode::kUsage, HasSubstr("--revision"));
}

TEST_F(HubCheck, RefusalsOfTheHubAreTypedAndKeepTheToken) {
  const auto refused = [&](int status, ErrorCode code, const char* word) {
    fault_ = FakeResponse{status, {}, "", -1};
    EXPECT_MACH_ERROR(check(options()), code, ::testing::AllOf(HasSubstr(word), Not(HasSubstr(kToken))));
  };
  refused(401, ErrorCode::kUnauthorized, "org/name");
  refused(404, ErrorCode::kNotFound, "org/name");
  fault_ = FakeResponse{200, {}, "not json", -1};
  EXPECT_MACH_ERROR(check(options()), ErrorCode::kCorruptFile, HasSubstr("org/name"));
}

TEST_F(HubCheck, ARepositoryWithoutConfigIsNoModel) {
  files_.erase("config.json");
  EXPECT_MACH_ERROR(check(options()), ErrorCode::kNotFound, HasSubstr("config.json"));
}

TEST_F(HubCheck, AHeaderThatLiesIsReportedNotBelieved) {
  const uint64_t length = uint64_t{1} << 60;
  std::memcpy(files_["model.safetensors"].data(), &length, sizeof length);
  EXPECT_MACH_ERROR(check(options()), ErrorCode::kCorruptFile, HasSubstr("model.safetensors"));
}

TEST_F(HubCheck, AMissingSidecarLayoutIsNoFault) {
  files_["expert_sidecar/layout.json"] = "{}";
  EXPECT_TRUE(check(options()).supported);
  EXPECT_TRUE(fs::exists(cache_.path() / "check/models--org--name" / kCommit / "expert_sidecar/layout.json"));
}

TEST(ModelSource, WhatIsNeitherFolderNorIdIsSaid) {
  const TempDir cache;
  SourceOptions options;
  options.cache_root = cache.path();
  options.hub.hf_hub_cache = cache.path().string();
  EXPECT_MACH_ERROR(open_model_source("/nowhere/at/all", options), ErrorCode::kNotFound,
                    HasSubstr("/nowhere/at/all"));
  const fs::path file = cache.write("file", "x");
  EXPECT_MACH_ERROR(open_model_source(file.string(), options), ErrorCode::kNotFound, HasSubstr("is a file"));
}

}  // namespace
}  // namespace mach
