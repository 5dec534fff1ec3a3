// mach-models, mach pull and mach rm against a server that plays the catalogue or the hub, on the loopback address.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <map>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "io/hub/content_hash.h"
#include "io/hub/fake_hub.h"
#include "support/mach_program.h"
#include "support/temp_dir.h"

namespace mach::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kToken = "eyJ-s3cret-t0ken";
constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";

class HubCommands : public ::testing::Test {
 protected:
  Subprocess::Environment environment(const std::string& catalogue, const std::string& hub) const {
    const std::string home = home_.path().string();
    return {{"HOME", home},
            {"XDG_CACHE_HOME", home + "/cache"},
            {"HF_HOME", home + "/hf"},
            {"HF_HUB_CACHE", home + "/hub"},
            {"HF_ENDPOINT", hub},
            {"HF_TOKEN", kToken},
            {"LME_CATALOG_URL", catalogue},
            {"LME_CATALOG_TOKEN", kToken},
            {"LME_MODELS_DIR", demo_model().parent_path().string()}};
  }
  ProcessResult models(const std::string& catalogue, std::vector<std::string> more = {"--json"}) const {
    more.insert(more.begin(), "models");
    return run_mach(more, "", environment(catalogue, ""));
  }

  TempDir home_;
};

TEST_F(HubCommands, CatalogueAndLocalModelsAreOneList) {
  const FakeHub server([](const FakeRequest& request) -> FakeResponse {
    EXPECT_EQ(request.headers.at("authorization"), std::string("Bearer ") + kToken);
    return {200,
            {},
            R"({"models": [{"name": "mini-qwen3_moe-mlx-4bit", "size": 1},
                           {"name": "org/far", "model_type": "gpt_oss", "size": 13000000000},
                           {"name": "org/strange", "model_type": "llama"}]})",
            -1};
  });
  const ProcessResult run = models(server.url());
  EXPECT_EQ(run.status, 0);
  EXPECT_EQ(run.err, "");
  std::map<std::string, nlohmann::json> rows;
  for (const auto& row : nlohmann::json::parse(run.out)) rows[row["name"]] = row;
  EXPECT_EQ(rows["mini-qwen3_moe-mlx-4bit"]["source"], "local+remote");
  EXPECT_TRUE(rows["mini-qwen3_moe-mlx-4bit"]["installed"]);
  EXPECT_EQ(rows["org/far"]["source"], "remote");
  EXPECT_TRUE(rows["org/far"]["supported"]);
  EXPECT_FALSE(rows["org/far"]["installed"]);
  EXPECT_EQ(rows["org/far"]["size"], 13000000000);
  EXPECT_FALSE(rows["org/strange"]["supported"]);
  EXPECT_THAT(models(server.url(), {}).out, HasSubstr("org/far"));
}

TEST_F(HubCommands, ABrokenCatalogueCostsOneWarningAndNeverShowsTheToken) {
  const struct {
    const char* name;
    FakeResponse response;
  } kFaults[] = {{"refused", {401, {}, std::string("bad ") + kToken, -1}},
                 {"server error", {500, {}, "", -1}},
                 {"not json", {200, {}, "<html>", -1}},
                 {"wrong shape", {200, {}, R"({"models": 7})", -1}},
                 {"wrong types", {200, {}, R"([{"name": 7}])", -1}},
                 {"cut short", {200, {}, std::string(1000, ' '), 10}},
                 {"huge", {200, {}, std::string(17U << 20, ' '), -1}},
                 {"redirect in a circle", {302, {{"Location", "/v1/local-moe/catalog"}}, "", -1}}};
  for (const auto& fault : kFaults) {
    const FakeHub server([&](const FakeRequest&) { return fault.response; });
    const ProcessResult run = models(server.url());
    EXPECT_EQ(run.status, 0) << fault.name;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << fault.name << run.err;
    EXPECT_THAT(run.err, HasSubstr("warning: ")) << fault.name;
    EXPECT_THAT(run.out, HasSubstr("mini-qwen3_moe-mlx-4bit")) << fault.name;
    EXPECT_THAT(run.out + run.err, Not(HasSubstr(kToken))) << fault.name;
  }
  const ProcessResult unreachable = models("http://127.0.0.1:1");
  EXPECT_EQ(unreachable.status, 0);
  EXPECT_EQ(std::count(unreachable.err.begin(), unreachable.err.end(), '\n'), 1) << unreachable.err;
  EXPECT_THAT(unreachable.out, HasSubstr("mini-qwen3_moe-mlx-4bit"));
}

TEST_F(HubCommands, WithoutACatalogueTheHintNamesTheVariables) {
  EXPECT_THAT(models("", {}).err,
              ::testing::AllOf(HasSubstr("LME_CATALOG_URL"), HasSubstr("LME_CATALOG_TOKEN")));
  std::atomic<int> asked{0};
  const FakeHub server([&](const FakeRequest&) -> FakeResponse {
    ++asked;
    return {200, {}, "[]", -1};
  });
  EXPECT_THAT(models(server.url(), {"--local-only"}).err, HasSubstr("LME_CATALOG_URL"));
  EXPECT_EQ(asked, 0);
}

// A repository whose weights break off after half on the first request and then do not go on until released.
class Repository {
 public:
  explicit Repository(bool stalls) : stalls_(stalls) {
    for (int i = 0; i < 400000; ++i) weights_ += static_cast<char>('a' + i % 23);
    ContentHash hash = ContentHash::sha256();
    hash.update(std::as_bytes(std::span(weights_)));
    sha_ = hash.finish();
  }

  FakeResponse answer(const FakeRequest& request) {
    if (request.path.starts_with("/api/models/org/name/revision/")) {
      const nlohmann::json listing = {{"sha", kCommit},
                                      {"siblings",
                                       {{{"rfilename", "model.safetensors"},
                                         {"size", weights_.size()},
                                         {"blobId", std::string(40, 'a')},
                                         {"lfs", {{"sha256", sha_}, {"size", weights_.size()}}}}}}};
      return {200, {}, listing.dump(), -1};
    }
    FakeResponse response = ranged(request, weights_);
    first_range = std::max<int64_t>(request.range_begin, 0);
    if (stalls_ && request.range_begin <= 0) {
      response.cut_after = static_cast<int64_t>(weights_.size() / 2);
    } else if (stalls_) {
      waiting = true;
      for (int i = 0; i < 500 && !released; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
      stalls_ = false;
    }
    return response;
  }

  size_t size() const { return weights_.size(); }
  std::atomic<bool> waiting{false}, released{false};
  std::atomic<int64_t> first_range{-1};

 private:
  std::atomic<bool> stalls_;
  std::string weights_, sha_;
};

TEST_F(HubCommands, APullThatWasKilledGoesOnWhereItWas) {
  Repository repository(true);
  const FakeHub server([&](const FakeRequest& request) { return repository.answer(request); });
  {
    Subprocess pull(mach_arguments({"pull", "org/name"}), environment("", server.url()));
    for (int i = 0; i < 2000 && !repository.waiting; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ASSERT_TRUE(repository.waiting);
    pull.send_signal(SIGKILL);
    repository.released = true;
    EXPECT_EQ(pull.finish().status, 128 + SIGKILL);
  }
  const ProcessResult again = run_mach({"pull", "org/name"}, "", environment("", server.url()));
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(repository.first_range, static_cast<int64_t>(repository.size() / 2));
  const fs::path snapshot = again.out.substr(0, again.out.find('\n'));
  EXPECT_EQ(fs::file_size(snapshot / "model.safetensors"), repository.size());
  EXPECT_THAT(again.err, Not(HasSubstr(kToken)));
}

TEST_F(HubCommands, RemovingAsksFirst) {
  Repository repository(false);
  const FakeHub server([&](const FakeRequest& request) { return repository.answer(request); });
  const auto variables = environment("", server.url());
  ASSERT_EQ(run_mach({"pull", "org/name"}, "", variables).status, 0);
  const fs::path folder = home_.path() / "hub/models--org--name";
  EXPECT_EQ(run_mach({"rm", "org/name"}, "n\n", variables).status,
            error_row(ErrorCode::kCancelled).exit_code);
  EXPECT_EQ(run_mach({"rm", "org/name"}, "", variables).status, error_row(ErrorCode::kCancelled).exit_code);
  EXPECT_TRUE(fs::exists(folder));
  EXPECT_EQ(run_mach({"rm", "org/name"}, "y\n", variables).status, 0);
  EXPECT_FALSE(fs::exists(folder));
  EXPECT_EQ(run_mach({"rm", "--yes", "org/name"}, "", variables).status,
            error_row(ErrorCode::kNotFound).exit_code);
}

}  // namespace
}  // namespace mach::testing
