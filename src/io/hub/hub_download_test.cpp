#include "io/hub/hub_download.h"

#include <cstdlib>
#include <fstream>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "mach/error.h"

#include "base/file.h"
#include "io/hub/content_hash.h"
#include "io/hub/fake_hub.h"

namespace mach {
namespace {

namespace fs = std::filesystem;
using mach::testing::FakeHub;
using mach::testing::FakeRequest;
using mach::testing::FakeResponse;
using mach::testing::ranged;

constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";

std::string hex_hash(const std::string& text, bool lfs) {
  ContentHash hash = lfs ? ContentHash::sha256() : ContentHash::git_blob(text.size());
  hash.update(std::as_bytes(std::span(text)));
  return hash.finish();
}

class HubDownload : public ::testing::Test {
 protected:
  HubDownload() {
    std::string pattern = (fs::temp_directory_path() / "mach-hub-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    std::string weights;
    for (int i = 0; i < 300000; ++i) weights += static_cast<char>('a' + i % 23);
    files_ = {{"config.json", "{}"},
              {"tokenizer.json", "{\"a\": 1}"},
              {"model.safetensors", weights},
              {"expert_sidecar/layout.json", "{\"v\": 1}"},
              {"pytorch_model.bin", "not wanted"}};
  }
  ~HubDownload() override { fs::remove_all(root_); }

  nlohmann::json listing() const {
    nlohmann::json siblings = nlohmann::json::array();
    for (const auto& [path, text] : files_) {
      nlohmann::json entry = {{"rfilename", path}, {"size", text.size()}, {"blobId", hex_hash(text, false)}};
      if (path.ends_with(".safetensors")) {
        entry["lfs"] = {{"sha256", hex_hash(text, true)}, {"size", text.size()}};
      }
      siblings.push_back(entry);
    }
    return {{"sha", kCommit}, {"siblings", siblings}};
  }

  FakeResponse serve(const FakeRequest& request) const {
    if (request.path == "/api/models/org/name/revision/main?blobs=true")
      return {200, {}, listing().dump(), -1};
    const std::string prefix = std::string("/org/name/resolve/") + kCommit + "/";
    if (request.path.starts_with(prefix)) {
      const auto found = files_.find(request.path.substr(prefix.size()));
      if (found != files_.end()) return ranged(request, found->second);
    }
    return {404, {}, "no", -1};
  }

  static HubModelId id() { return {"org/name", "main"}; }
  HubSettings settings(const FakeHub& hub) const { return {hub.url(), "secret-token"}; }

  fs::path download(const FakeHub& hub, const std::vector<std::string>& include = {}) {
    HubClient client(settings(hub));
    const HubDownloadPlan plan = plan_hub_download(client, id(), root_, include);
    return download_hub_files(settings(hub), plan);
  }

  ErrorCode failure(const FakeHub& hub, std::string* what = nullptr) {
    try {
      download(hub);
    } catch (const Error& error) {
      if (what != nullptr) *what = error.what();
      return error.code();
    }
    ADD_FAILURE() << "the download did not fail";
    return ErrorCode::kInternal;
  }

  fs::path root_;
  std::map<std::string, std::string> files_;
};

TEST_F(HubDownload, FillsTheCacheLayoutAndNothingElse) {
  const FakeHub hub([&](const FakeRequest& request) { return serve(request); });
  const fs::path snapshot = download(hub);
  EXPECT_EQ(snapshot, root_ / "models--org--name" / "snapshots" / kCommit);
  EXPECT_EQ(read_text_file(snapshot / "model.safetensors", 1 << 20), files_["model.safetensors"]);
  EXPECT_EQ(read_text_file(snapshot / "expert_sidecar/layout.json", 100),
            files_["expert_sidecar/layout.json"]);
  EXPECT_FALSE(fs::exists(snapshot / "pytorch_model.bin"));
  EXPECT_EQ(read_text_file(root_ / "models--org--name/refs/main", 100), kCommit);
  HubEnvironment environment;
  environment.hf_hub_cache = root_.string();
  EXPECT_EQ(find_hub_snapshot(id(), environment).commit, kCommit);
}

TEST_F(HubDownload, SecondRunFetchesNoFile) {
  const FakeHub hub([&](const FakeRequest& request) { return serve(request); });
  download(hub);
  const uint32_t before = hub.requests();
  download(hub);
  EXPECT_EQ(hub.requests(), before + 1);  // the listing
}

TEST_F(HubDownload, ResumesABodyThatWasCutShort) {
  std::vector<int64_t> begins;
  std::mutex mutex;
  const FakeHub hub([&](const FakeRequest& request) {
    FakeResponse response = serve(request);
    if (request.path.ends_with("model.safetensors")) {
      const std::lock_guard lock(mutex);
      begins.push_back(request.range_begin);
      if (begins.size() < 3) response.cut_after = 100000;
    }
    return response;
  });
  const fs::path snapshot = download(hub);
  EXPECT_EQ(read_text_file(snapshot / "model.safetensors", 1 << 20), files_["model.safetensors"]);
  EXPECT_THAT(begins, ::testing::ElementsAre(-1, 100000, 200000));
}

TEST_F(HubDownload, GoesOnFromWhatAKilledRunLeft) {
  const std::string& weights = files_["model.safetensors"];
  const fs::path blobs = root_ / "models--org--name/blobs";
  fs::create_directories(blobs);
  write_file_atomically(blobs / (hex_hash(weights, true) + ".incomplete"), weights.substr(0, 250000));
  std::atomic<int64_t> begin{-1};
  const FakeHub hub([&](const FakeRequest& request) {
    if (request.path.ends_with("model.safetensors")) begin = request.range_begin;
    return serve(request);
  });
  const fs::path snapshot = download(hub);
  EXPECT_EQ(begin, 250000);
  EXPECT_EQ(read_text_file(snapshot / "model.safetensors", 1 << 20), weights);
}

TEST_F(HubDownload, AWrongPartialFileIsThrownAwayOnce) {
  const std::string& weights = files_["model.safetensors"];
  const fs::path blobs = root_ / "models--org--name/blobs";
  fs::create_directories(blobs);
  write_file_atomically(blobs / (hex_hash(weights, true) + ".incomplete"), std::string(1000, '!'));
  const FakeHub hub([&](const FakeRequest& request) { return serve(request); });
  EXPECT_EQ(read_text_file(download(hub) / "model.safetensors", 1 << 20), weights);
}

TEST_F(HubDownload, WrongContentIsRefusedAndNoRefIsWritten) {
  const FakeHub hub([&](const FakeRequest& request) {
    FakeResponse response = serve(request);
    if (request.path.ends_with("model.safetensors")) response.body[7] ^= 1;
    return response;
  });
  EXPECT_EQ(failure(hub), ErrorCode::kCorruptFile);
  EXPECT_FALSE(fs::exists(root_ / "models--org--name/refs/main"));
  EXPECT_FALSE(fs::exists(root_ / "models--org--name/snapshots" / kCommit / "model.safetensors"));
}

TEST_F(HubDownload, WaitsAsA429Asks) {
  std::atomic<int> listings{0};
  const FakeHub hub([&](const FakeRequest& request) -> FakeResponse {
    if (request.path.starts_with("/api/") && listings++ == 0) return {429, {{"Retry-After", "1"}}, "", -1};
    return serve(request);
  });
  const auto start = std::chrono::steady_clock::now();
  download(hub);
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(950));
  EXPECT_EQ(listings, 2);
}

TEST_F(HubDownload, RedirectsAreFollowedWithoutTheToken) {
  std::string seen = "nothing";
  const FakeHub storage([&](const FakeRequest& request) {
    const auto token = request.headers.find("authorization");
    if (request.path.ends_with("model.safetensors"))
      seen = token == request.headers.end() ? "" : token->second;
    FakeRequest inner = request;
    return serve(inner);
  });
  const FakeHub hub([&](const FakeRequest& request) -> FakeResponse {
    EXPECT_EQ(request.headers.at("authorization"), "Bearer secret-token");
    if (request.path.ends_with("model.safetensors")) {
      return {302, {{"Location", storage.url() + request.path}}, "", -1};
    }
    return serve(request);
  });
  download(hub);
  EXPECT_EQ(seen, "");
}

TEST_F(HubDownload, RefusedAccessNamesTheVariableAndNotTheToken) {
  const FakeHub hub([](const FakeRequest&) { return FakeResponse{401, {}, "", -1}; });
  std::string what;
  EXPECT_EQ(failure(hub, &what), ErrorCode::kUnauthorized);
  EXPECT_THAT(what, ::testing::Not(::testing::HasSubstr("secret-token")));
}

TEST_F(HubDownload, AMissingRepositoryIsNotFound) {
  const FakeHub hub([](const FakeRequest&) { return FakeResponse{404, {}, "", -1}; });
  EXPECT_EQ(failure(hub), ErrorCode::kNotFound);
}

TEST_F(HubDownload, HostileListingsAreRefused) {
  const nlohmann::json good = listing();
  const auto with_first = [&](const char* key, const nlohmann::json& value) {
    nlohmann::json bad = good;
    bad["siblings"][0][key] = value;
    return bad.dump();
  };
  const std::vector<std::string> bad = {
      "",
      "[]",
      "{\"sha\": \"main\", \"siblings\": []}",
      with_first("rfilename", "../../etc/passwd"),
      with_first("rfilename", "/etc/passwd"),
      with_first("rfilename", "a\\b"),
      with_first("blobId", "../x"),
      with_first("size", -1),
      with_first("lfs", {{"sha256", "zz"}, {"size", 1}}),
  };
  for (const std::string& body : bad) {
    const FakeHub hub([&](const FakeRequest&) { return FakeResponse{200, {}, body, -1}; });
    EXPECT_EQ(failure(hub), ErrorCode::kCorruptFile) << body;
  }
}

TEST_F(HubDownload, TooLargeForTheDiskIsSaidBeforeTheFirstByte) {
  const FakeHub hub([&](const FakeRequest& request) { return serve(request); });
  HubClient client(settings(hub));
  HubDownloadPlan plan = plan_hub_download(client, id(), root_, {});
  plan.missing_bytes = uint64_t{1} << 60;
  const uint32_t before = hub.requests();
  try {
    download_hub_files(settings(hub), plan);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kOutOfBudget);
  }
  EXPECT_EQ(hub.requests(), before);
}

TEST_F(HubDownload, CancellingKeepsThePartialFileForTheNextRun) {
  std::atomic<bool> cancel{false};
  const FakeHub hub([&](const FakeRequest& request) {
    FakeResponse response = serve(request);
    if (request.path.ends_with("model.safetensors")) {
      cancel = true;
      response.cut_after = 1000;
    }
    return response;
  });
  HubClient client(settings(hub));
  const HubDownloadPlan plan = plan_hub_download(client, id(), root_, {"model.safetensors"});
  HubDownloadOptions options;
  options.cancelled = [&] { return cancel.load(); };
  EXPECT_THROW(download_hub_files(settings(hub), plan, options), Error);
  EXPECT_FALSE(fs::exists(root_ / "models--org--name/refs/main"));
  cancel = false;
  const FakeHub healthy([&](const FakeRequest& request) { return serve(request); });
  EXPECT_EQ(read_text_file(download(healthy) / "model.safetensors", 1 << 20), files_["model.safetensors"]);
}

TEST_F(HubDownload, IncludePatternsChoose) {
  const FakeHub hub([&](const FakeRequest& request) { return serve(request); });
  const fs::path snapshot = download(hub, {"*.bin"});
  EXPECT_TRUE(fs::exists(snapshot / "pytorch_model.bin"));
  EXPECT_FALSE(fs::exists(snapshot / "config.json"));
}

TEST_F(HubDownload, RemoveFreesTheRepositoryAndNothingElse) {
  const FakeHub hub([&](const FakeRequest& request) { return serve(request); });
  download(hub);
  fs::create_directories(root_ / "models--org--other/blobs");
  EXPECT_GT(remove_hub_repository(id(), root_), 300000U);
  EXPECT_FALSE(fs::exists(root_ / "models--org--name"));
  EXPECT_TRUE(fs::exists(root_ / "models--org--other"));
  EXPECT_THROW(remove_hub_repository(id(), root_), Error);
}

}  // namespace
}  // namespace mach
