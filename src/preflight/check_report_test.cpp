#include "preflight/check_report.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/file.h"
#include "io/json.h"
#include "preflight/expected_hits.h"
#include "preflight/report_json.h"
#include "preflight/report_text.h"
#include "support/expect_error.h"
#include "support/shared_dir.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

namespace fs = std::filesystem;
using mach::testing::TempDir;
using ::testing::HasSubstr;

std::string published(const std::string& name) {
  return read_text_file(mach::testing::source_dir() / "tests/data/configs" / (name + ".json"), 1U << 20);
}

CheckReport check(const fs::path& folder, const CheckOptions& options = {}) {
  return make_check_report(*local_source(ModelDirectory::at(folder)), options);
}

MemoryInfo machine(uint64_t bytes) { return {.total = bytes, .available = bytes, .cgroup_limit = {}}; }

// Figures of specs/<family>.md sections 1, 3 and 4, and of model cards; see arch/model_bytes_test.cpp.
struct Flagship {
  std::string name;
  double total_billions, active_billions;
  uint64_t expert_bytes;   // of one expert
  uint64_t experts;        // of all layers
  uint64_t top_k_experts;  // of all layers
  uint64_t kv_per_token;
};

class Flagships : public ::testing::TestWithParam<Flagship> {};

TEST_P(Flagships, AreSizedFromTheirConfigAlone) {
  const Flagship& flagship = GetParam();
  const TempDir folder;
  folder.write("config.json", published(flagship.name));
  CheckOptions options;
  options.memory = machine(uint64_t{1} << 42);
  const CheckReport report = check(folder.path(), options);
  EXPECT_TRUE(report.supported) << report.problem;
  EXPECT_FALSE(report.exact_sizes);
  EXPECT_FALSE(report.artifacts.weights);
  EXPECT_NEAR(static_cast<double>(report.parameters->total) / 1e9, flagship.total_billions, 0.051);
  EXPECT_NEAR(static_cast<double>(report.parameters->active) / 1e9, flagship.active_billions, 0.051);
  EXPECT_EQ(report.kv->per_token, flagship.kv_per_token);
  ASSERT_TRUE(report.memory.has_value());
  EXPECT_EQ(report.memory->experts, flagship.expert_bytes * flagship.experts);
  EXPECT_EQ(report.memory->expert_count, flagship.experts);
  EXPECT_EQ(report.memory->bank_floor, flagship.expert_bytes * flagship.top_k_experts);
  EXPECT_EQ(report.memory->context, 8192U);
  EXPECT_EQ(report.memory->resident, Fit::kFits);
}

INSTANTIATE_TEST_SUITE_P(
    Models, Flagships,
    ::testing::Values(Flagship{"qwen3-30b-a3b", 30.5, 3.04, 9437184, 48 * 128, 48 * 8, 98304},
                      Flagship{"qwen3.6-35b-a3b", 34.66, 2.95, 6291456, 40 * 256, 40 * 8, 20480},
                      Flagship{"gpt-oss-20b", 20.9, 3.6, 13236480, 24 * 32, 24 * 4, 24576},
                      Flagship{"gpt-oss-120b", 116.8, 5.1, 13236480, 36 * 128, 36 * 4, 36864},
                      Flagship{"gemma-4-26b-a4b", 25.2, 3.8, 11894784, 30 * 128, 30 * 8, 20480},
                      Flagship{"deepseek-v4-flash", 284.3, 13.3, 13369344, 43 * 256, 43 * 6, 6880}),
    [](const auto& row) {
      std::string name = row.param.name;
      for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
      return name;
    });

class CheckedFolder : public ::testing::Test {
 protected:
  CheckedFolder() { folder_.write("config.json", published("qwen3-30b-a3b")); }
  TempDir folder_;
};

TEST_F(CheckedFolder, VerdictsFollowTheMemory) {
  // 61 GB of bf16 weights, 58 of them routed experts, 0.8 GB of KV at 8192 tokens.
  const auto at = [&](double gigabytes, std::optional<double> bank = {}) {
    CheckOptions options;
    options.memory = machine(static_cast<uint64_t>(gigabytes * 1e9));
    if (bank) options.expert_cache_bytes = static_cast<uint64_t>(*bank * 1e9);
    return *check(folder_.path(), options).memory;
  };
  EXPECT_EQ(at(128).resident, Fit::kFits);
  EXPECT_EQ(at(64.5).resident, Fit::kTight);
  EXPECT_EQ(at(48).resident, Fit::kWontFit);
  EXPECT_EQ(at(48).streaming, Fit::kFits);
  EXPECT_GT(at(48).bank_share, 0.6);
  EXPECT_EQ(at(4).streaming, Fit::kWontFit);  // the floor alone is 3.6 GB
  EXPECT_EQ(at(128, 6).bank, 6000000000U);
  EXPECT_EQ(at(128, 6).bank_experts, 6000000000U / 9437184);
  EXPECT_EQ(at(128, 1).streaming, Fit::kWontFit);
  EXPECT_EQ(at(128, 1).hit_rate, 0.0);
  EXPECT_EQ(at(128, 1000).bank, at(128).experts);  // never more than there are
}

TEST_F(CheckedFolder, WithoutKnowledgeOfTheMemoryNothingIsClaimed) {
  const CheckReport report = check(folder_.path());
  EXPECT_EQ(report.memory->resident, Fit::kUnknown);
  EXPECT_EQ(report.memory->streaming, Fit::kUnknown);
  EXPECT_THAT(report.verdict, HasSubstr("not known"));
}

TEST_F(CheckedFolder, ForecastNamesTheResourceThatLimits) {
  CheckOptions options;
  options.memory = machine(uint64_t{24} << 30);
  EXPECT_FALSE(check(folder_.path(), options).forecast.has_value());
  options.memory_bandwidth = 40e9;
  const Forecast without_disk = *check(folder_.path(), options).forecast;
  EXPECT_FALSE(without_disk.streaming.has_value());
  // About 3 billion active parameters of 2 bytes, and half of the KV cache.
  EXPECT_NEAR(static_cast<double>(without_disk.weight_bytes), 6.08e9, 0.1e9);
  EXPECT_EQ(without_disk.resident.limit, "memory bandwidth");
  EXPECT_LT(without_disk.resident.low, without_disk.resident.high);
  EXPECT_LT(without_disk.resident.high, 40e9 / 6e9);
  options.disk_rate = 1e9;
  const Forecast slow = *check(folder_.path(), options).forecast;
  ASSERT_TRUE(slow.streaming.has_value());
  EXPECT_EQ(slow.streaming->limit, "disk");
  EXPECT_LT(slow.streaming->high, slow.resident.high);
  options.disk_rate = 1e12;
  EXPECT_EQ(check(folder_.path(), options).forecast->streaming->limit, "memory bandwidth");
}

TEST_F(CheckedFolder, AContextBeyondTheModelIsAWrongQuestion) {
  CheckOptions options;
  options.context_length = 1U << 30;
  EXPECT_MACH_ERROR(check(folder_.path(), options), ErrorCode::kUsage, HasSubstr("--context-length"));
}

TEST(CheckReport, UnknownArchitecturesAreNamedWithTheNearestKnownOne) {
  const TempDir folder;
  folder.write("config.json", R"({"model_type": "qwen3_mo"})");
  const CheckReport report = check(folder.path());
  EXPECT_FALSE(report.supported);
  EXPECT_EQ(report.model_type, "qwen3_mo");
  EXPECT_THAT(report.problem, HasSubstr("nearest: qwen3_moe"));
  for (const PathCell& cell : report.paths) EXPECT_EQ(cell.verdict.status, PathStatus::kBlocked) << cell.path;
  EXPECT_EQ(report.serve_with, "");
  EXPECT_THAT(report_text(report), HasSubstr("supported:   no\nproblem:     "));
  EXPECT_EQ(report_json(report)["parameters"], nullptr);
}

TEST(CheckReport, AFolderWithoutConfigIsNoModel) {
  const TempDir folder;
  EXPECT_MACH_ERROR(check(folder.path()), ErrorCode::kNotFound, HasSubstr("config.json"));
}

TEST(CheckReport, AHugeConfigIsNotRead) {
  const TempDir folder;
  folder.write("config.json", "{}");
  fs::resize_file(folder.path() / "config.json", uint64_t{200} << 20);
  const CheckReport report = check(folder.path());
  EXPECT_FALSE(report.supported);
  EXPECT_THAT(report.problem, HasSubstr("config.json"));
}

TEST(CheckReport, DraftsAreComparedWithTheirModel) {
  const auto shared = mach::testing::shared_dir();
  if (!shared) GTEST_SKIP() << mach::testing::kNoSharedDir;
  CheckOptions options;
  options.draft_dir = *shared / "models/mini-qwen3_5_moe-DFlash";
  const CheckReport fitting = check(*shared / "models/mini-qwen3_5_moe", options);
  EXPECT_EQ(fitting.artifacts.draft, DraftState::kUsable) << fitting.artifacts.draft_fault;
  EXPECT_GT(fitting.memory->draft, 0U);
  EXPECT_TRUE(fitting.artifacts.mtp_block);
  const CheckReport foreign = check(*shared / "fixtures/nano/qwen3_5_moe", options);
  EXPECT_EQ(foreign.artifacts.draft, DraftState::kUnusable);
  EXPECT_THAT(foreign.artifacts.draft_fault, HasSubstr("hidden_size"));
  options.draft_dir = "/nowhere/draft";
  EXPECT_THAT(check(*shared / "models/mini-qwen3_5_moe", options).artifacts.draft_fault,
              HasSubstr("/nowhere/draft"));
}

// A sidecar whose files are not there, or that is another model's, is reported and not counted on.
TEST_F(CheckedFolder, ABrokenSidecarIsNoArtifact) {
  folder_.write("expert_sidecar/layout.json", R"({"format": "someone-elses"})");
  const CheckReport report = check(folder_.path());
  EXPECT_FALSE(report.artifacts.sidecar);
  EXPECT_THAT(report.artifacts.sidecar_fault, HasSubstr("layout.json"));
  EXPECT_THAT(report_text(report), HasSubstr("sidecar=broken"));
}

TEST(ExpectedHits, RiseFromNothingToEverything) {
  EXPECT_EQ(expected_hit_rate(0.0), 0.0);
  EXPECT_EQ(expected_hit_rate(1.0), 1.0);
  EXPECT_DOUBLE_EQ(expected_hit_rate(0.12), 0.62);
  double last = 0.0;
  for (int i = 0; i <= 100; ++i) {
    const double share = i / 100.0;
    EXPECT_GE(expected_hit_rate(share), last);
    EXPECT_GE(expected_hit_rate(share) + 1e-12, even_hit_rate(share));
    last = expected_hit_rate(share);
  }
}

}  // namespace
}  // namespace mach
