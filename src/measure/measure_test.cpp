#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/file.h"
#include "io/checkpoint_files.h"
#include "io/json.h"
#include "measure/bench_report.h"
#include "measure/model_bench.h"
#include "measure/routing_stats.h"
#include "measure/token_cost.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"
#include "synth/synthesize.h"

namespace mach::measure {
namespace {

using ::mach::testing::TempDir;
using ::testing::HasSubstr;

TEST(RoutingStats, CountsWhatItSays) {
  RoutingStats stats(2, 4);
  const std::vector<uint32_t> first = {0, 1}, second = {1, 2};
  stats.count(0, first, 2);
  stats.count(0, second, 2);
  const RoutingSummary s = stats.summary();
  EXPECT_EQ(s.layers, 1U);
  EXPECT_DOUBLE_EQ(s.pass_experts, 2);
  EXPECT_DOUBLE_EQ(s.used, 0.75);
  EXPECT_DOUBLE_EQ(s.largest_share, 0.5);
  EXPECT_DOUBLE_EQ(s.repeated, 0.5);
  EXPECT_NEAR(s.entropy, 1.5 * std::log(2) / std::log(4), 1e-12);
}

TEST(RoutingStats, ABatchThatSharesAnExpertReadsItOnce) {
  RoutingStats stats(1, 8);
  const std::vector<uint32_t> pass = {3, 4, 3, 5};
  stats.count(0, pass, 2);
  EXPECT_DOUBLE_EQ(stats.summary().pass_experts, 3);
}

TEST(ExpectedExperts, IsTheMeanOfIndependentUniformChoices) {
  const MoeConfig moe{.experts = 128, .top_k = 8};
  EXPECT_DOUBLE_EQ(expected_experts(moe, 1), 8);
  EXPECT_NEAR(expected_experts(moe, 8), 51.6, 0.1);
}

nlohmann::ordered_json small_qwen() {
  return {{"model_type", "qwen3_moe"},
          {"vocab_size", 512},
          {"hidden_size", 128},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"head_dim", 32},
          {"max_position_embeddings", 256},
          {"num_experts", 16},
          {"num_experts_per_tok", 4},
          {"moe_intermediate_size", 64},
          {"norm_topk_prob", true},
          {"intermediate_size", 64},
          {"rope_theta", 10000.0}};
}

struct SmallModel {
  explicit SmallModel(const char* routing, bool sidecar = false,
                      const EngineOptions& engine_options = {.threads = 1}) {
    write_file_atomically(dir.path() / "shape.json", small_qwen().dump());
    synth::SynthOptions options{.like = (dir.path() / "shape.json").string()};
    options.routing = synth::parse_routing(routing);
    options.sidecar = sidecar;
    options.out = dir.path() / "model";
    ThreadPool pool(1);
    synth::synthesize(options, pool, {});
    engine = LoadedEngine::open(options.out.string(), engine_options);
  }
  TempDir dir;
  std::unique_ptr<LoadedEngine> engine;
};

TEST(TokenCost, CountsEveryStoredByteOnceWhereAllExpertsAreRead) {
  const SmallModel small("uniform");
  const ModelConfig& config = small.engine->model().config();
  const TensorCatalog catalog = read_tensor_catalog(small.dir.path() / "model");
  const TensorPlan plan = build_tensor_plan(config, catalog);
  const PassBytes all = decode_bytes(config, plan, {.experts_per_layer = 16});
  const WeightRef& table = plan.matrix("embed_tokens");
  EXPECT_EQ(all.resident + all.experts, catalog.total_bytes() - table.bytes() + table.bytes() / table.rows);
}

TEST(TokenCost, MultiplyAddsOfAKnownShape) {
  const ModelConfig config = parse_model_config(nlohmann::json(small_qwen()));
  const Macs macs = count_macs(config, 10, 1);
  // Per layer: q and o 128 x 128, k and v 64 x 128, router 16 x 128, four experts of 3 x 64 x 128.
  EXPECT_DOUBLE_EQ(macs.matrices, 2.0 * (2 * 128 * 128 + 2 * 64 * 128 + 16 * 128 + 4 * 3 * 64 * 128));
  EXPECT_DOUBLE_EQ(macs.attention, 2.0 * 2 * 4 * 32 * 11);
  EXPECT_DOUBLE_EQ(macs.head, 512.0 * 128);
  EXPECT_DOUBLE_EQ(count_macs(config, 0, 3).attention, 2.0 * 2 * 4 * 32 * (1 + 2 + 3));
}

std::vector<BenchResult> bench(SmallModel& small, const BenchOptions& options) {
  return run_bench(*small.engine, options, {});
}

TEST(ModelBench, MeasuresEveryCombination) {
  SmallModel small("uniform");
  const auto results =
      bench(small, {.prompts = {8, 16}, .generate = 4, .depths = {0, 5}, .batches = {1, 2}, .runs = 2});
  ASSERT_EQ(results.size(), 8U);
  for (const BenchResult& r : results) {
    EXPECT_EQ(r.rates.size(), 2U);
    EXPECT_GT(r.median(), 0);
    EXPECT_GT(r.macs, 0);
    EXPECT_EQ(r.routing.has_value(), r.kind == BenchKind::kDecode);
  }
}

// What the model itself routes, against what mach synth was asked for. 4 x 2 layers x 200 choices of 16: a share deviates by
// about 0.01; tokens of a topic choose alike, which makes that about three times as much.
TEST(ModelBench, RoutingOfAUniformSyntheticModelIsNearlyUniform) {
  SmallModel small("uniform");
  const auto results = bench(small, {.prompts = {0}, .generate = 200, .runs = 1});
  ASSERT_EQ(results.size(), 1U);
  EXPECT_GT(results[0].routing->entropy, 0.95);
  EXPECT_DOUBLE_EQ(results[0].routing->pass_experts, 4);
  EXPECT_GT(results[0].routing->repeated, 4.0 / 16);  // more than chance: topics last
}

TEST(ModelBench, RoutingOfASkewedSyntheticModelIsSkewed) {
  SmallModel small("zipf:1.5");
  const auto results = bench(small, {.prompts = {0}, .generate = 200, .runs = 1});
  EXPECT_LT(results[0].routing->entropy, 0.85);
  EXPECT_NEAR(results[0].routing->largest_share, 0.25,
              0.03);  // 0.98 of the tokens, a quarter of their choices
}

TEST(ModelBench, SaysWhatTheExpertCacheDid) {
  SmallModel small("uniform", true,
                   {.threads = 1, .residency = Residency::kStreaming, .expert_cache_bytes = 300'000});
  const auto results = bench(small, {.prompts = {24}, .generate = 40, .runs = 2});
  ASSERT_EQ(results.size(), 2U);
  for (const BenchResult& r : results) {
    ASSERT_TRUE(r.streaming.has_value());
    EXPECT_EQ(r.streaming->status.source, "sidecar");
    EXPECT_GT(r.streaming->bytes_per_token(), 0);
    EXPECT_GT(r.streaming->read_rate(), 0);
    EXPECT_GT(r.streaming->stall_share(), 0);
    EXPECT_LE(r.streaming->stall_share(), 1);
  }
  const ExpertCounters& decode = results[1].streaming->counters;
  EXPECT_EQ(decode.hits + decode.misses, 2U * 40 * 2 * 4) << "runs, tokens, layers, choices";
  EXPECT_GT(decode.misses, 0U);
  EXPECT_GT(results[1].bytes.experts, 0U) << "of the sidecar";
  const auto json = to_json({.results = results});
  EXPECT_EQ(json["results"][1]["streaming"]["hit_rate"].get<double>(), decode.hit_rate());
}

TEST(ModelBench, RefusesMorePositionsThanTheModelHas) {
  SmallModel small("uniform");
  EXPECT_MACH_ERROR(bench(small, {.depths = {200}}), ErrorCode::kInvalidRequest, HasSubstr("256 positions"));
}

TEST(ModelBench, StopsBetweenPasses) {
  SmallModel small("uniform");
  const BenchProgress progress{.cancelled = [] { return true; }};
  EXPECT_MACH_ERROR(run_bench(*small.engine, {.prompts = {16}, .generate = 4}, progress),
                    ErrorCode::kCancelled, HasSubstr("stopped"));
}

TEST(BenchReport, SharesAreRatesOverTheRoofline) {
  BenchReport report;
  report.roofline = {.read_bytes = 1e9, .int8_macs = 1e12};
  BenchResult decode{.kind = BenchKind::kDecode, .tokens = 10, .batch = 2, .rates = {10, 20, 30}};
  decode.bytes = {.resident = 10'000'000, .experts = 30'000'000, .kv = 10'000'000};
  decode.macs = 1e9;
  report.results = {decode};
  EXPECT_DOUBLE_EQ(bandwidth_share(report, decode), 0.5);  // ten passes a second
  EXPECT_DOUBLE_EQ(int8_share(report, decode), 0.02);
  const auto json = to_json(report);
  EXPECT_EQ(json["results"][0]["tokens_per_second"]["median"], 20);
  EXPECT_EQ(json["results"][0]["bytes_per_pass"]["total"], 50'000'000);
  EXPECT_THAT(to_text(report), HasSubstr("20.00"));
}

}  // namespace
}  // namespace mach::measure
