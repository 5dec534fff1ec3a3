#include "synth/synthesize.h"

#include <algorithm>
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "arch/registry.h"
#include "arch/tensor_plan.h"
#include "base/file.h"
#include "io/checkpoint_files.h"
#include "io/json.h"
#include "quant/decode.h"
#include "quant/validate.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"
#include "synth/synth_config.h"

namespace mach::synth {
namespace {

using ::mach::testing::TempDir;
using ::testing::HasSubstr;

// A small model of each family: real configs with small numbers.
struct Small {
  const char* like;
  nlohmann::json changes;
};
std::vector<Small> small_shapes() {
  const nlohmann::json common = {{"hidden_size", 128},       {"vocab_size", 1024},
                                 {"num_attention_heads", 4}, {"num_key_value_heads", 2},
                                 {"head_dim", 32},           {"moe_intermediate_size", 64}};
  const auto with = [&](nlohmann::json more) {
    nlohmann::json all = common;
    all.update(more);
    return all;
  };
  return {{"qwen3-30b-a3b", with({{"num_experts", 16}, {"num_experts_per_tok", 4}})},
          {"qwen3.6-35b-a3b", with({{"num_experts", 16},
                                    {"num_experts_per_tok", 4},
                                    {"shared_expert_intermediate_size", 64},
                                    {"linear_num_key_heads", 2},
                                    {"linear_num_value_heads", 4},
                                    {"linear_key_head_dim", 32},
                                    {"linear_value_head_dim", 32}})},
          {"gpt-oss-20b", with({{"num_local_experts", 16}, {"intermediate_size", 64}})},
          {"gemma-4-26b-a4b", with({{"num_experts", 16},
                                    {"top_k_experts", 4},
                                    {"intermediate_size", 64},
                                    {"num_global_key_value_heads", 1},
                                    {"global_head_dim", 64}})},
          {"deepseek-v4-flash", with({{"n_routed_experts", 16},
                                      {"num_experts_per_tok", 4},
                                      {"num_key_value_heads", 1},
                                      {"qk_rope_head_dim", 16},
                                      {"q_lora_rank", 64},
                                      {"o_groups", 2},
                                      {"o_lora_rank", 64},
                                      {"index_n_heads", 4},
                                      {"index_head_dim", 32},
                                      {"index_topk", 8}})}};
}

std::string small_config(const Small& small, const TempDir& dir) {
  for (const ModelShape& shape : model_shapes()) {
    if (shape.name != small.like) continue;
    auto json = nlohmann::ordered_json::parse(shape.config);
    auto& text = json.contains("text_config") ? json["text_config"] : json;
    for (const auto& [key, value] : small.changes.items()) text[key] = value;
    const auto path = dir.path() / (std::string(small.like) + ".json");
    write_file_atomically(path, json.dump());
    return path.string();
  }
  return {};
}

struct Made {
  ModelConfig config;
  CheckpointFiles files;
  TensorPlan plan;
};
Made make(const SynthOptions& options) {
  ThreadPool pool(2);
  synthesize(options, pool, {});
  ModelConfig config = parse_model_config(read_json_file(options.out / "config.json"));
  CheckpointFiles files = CheckpointFiles::open(options.out);
  TensorPlan plan = build_tensor_plan(config, files.catalog());
  return {std::move(config), std::move(files), std::move(plan)};
}

TEST(Synthesize, EveryFamilyAndStorageIsACheckpointThatTheRegistryReads) {
  const TempDir dir;
  for (const Small& small : small_shapes()) {
    for (const QuantRow& quant : quant_rows()) {
      SCOPED_TRACE(std::string(small.like) + " " + std::string(quant.name));
      SynthOptions options{.like = small_config(small, dir), .layers = 4, .quant = quant.quant};
      options.out = dir.path() / (std::string(small.like) + std::string(quant.name));
      const Made made = make(options);
      EXPECT_TRUE(made.plan.unused.empty()) << made.plan.unused.front();
      EXPECT_TRUE(made.plan.skipped.empty()) << made.plan.skipped.front().name;
      EXPECT_EQ(made.plan.experts.size(), 4U);
    }
  }
}

TEST(Synthesize, RealShapesParseWithFewerLayersInEveryStorage) {
  for (const ModelShape& shape : model_shapes()) {
    for (const QuantRow& quant : quant_rows()) {
      const auto json = synthetic_config(nlohmann::ordered_json::parse(shape.config), 3, quant.quant);
      EXPECT_EQ(parse_model_config(nlohmann::json(json)).layer_count(), 3U) << shape.name;
    }
  }
}

WeightMatrix view(const Made& made, const WeightRef& ref) {
  const auto plane = [&](const PlaneRef& p) {
    const TensorLocation& tensor = made.plan.tensors[p.tensor];
    return Plane{made.files.shard(tensor.shard).bytes().data() + tensor.offset + p.offset, p.row_stride};
  };
  WeightMatrix m{.format = ref.format, .rows = ref.rows, .cols = ref.cols, .codes = plane(ref.codes)};
  if (ref.scales) m.scales = plane(*ref.scales);
  if (ref.biases) m.biases = plane(*ref.biases);
  return m;
}

std::vector<float> decoded(const WeightMatrix& m) {
  std::vector<float> all(size_t{m.rows} * m.cols);
  for (uint32_t r = 0; r < m.rows; ++r) decode_row(m, r, std::span(all).subspan(size_t{r} * m.cols, m.cols));
  return all;
}

// The proof of routing_design.h, carried out: embeddings and routers alone tell the choices.
void expect_distribution(const char* routing, double zipf) {
  const TempDir dir;
  const Small small = small_shapes().front();
  SynthOptions options{.like = small_config(small, dir), .layers = 3, .routing = parse_routing(routing)};
  options.out = dir.path() / "out";
  const Made made = make(options);
  const auto embedding = decoded(view(made, made.plan.matrix("embed_tokens")));
  const MoeConfig& moe = made.config.moe;
  const uint32_t hidden = made.config.hidden_size;
  const uint32_t vocab = made.config.vocab_size;
  const auto wanted = choice_probabilities(moe.experts, moe.top_k, zipf);
  for (uint32_t layer = 0; layer < 3; ++layer) {
    const auto router =
        decoded(view(made, made.plan.matrix("layers." + std::to_string(layer) + ".mlp.gate")));
    std::vector<double> share(moe.experts);
    for (uint32_t token = 0; token < vocab; ++token) {
      std::vector<std::pair<float, uint32_t>> scores;
      for (uint32_t e = 0; e < moe.experts; ++e) {
        float sum = 0;
        for (uint32_t c = 0; c < hidden; ++c) sum += router[e * hidden + c] * embedding[token * hidden + c];
        scores.emplace_back(-sum, e);
      }
      std::sort(scores.begin(), scores.end());
      for (uint32_t k = 0; k < moe.top_k; ++k) share[scores[k].second] += 1.0 / vocab;
    }
    std::sort(share.rbegin(), share.rend());
    // The fit samples 8192 tokens with repetition from these 1024: 8-bit router weights move about 2 % of the choices.
    for (uint32_t rank = 0; rank < moe.experts; ++rank)
      EXPECT_NEAR(share[rank], wanted[rank], 0.03) << routing << " layer " << layer << " rank " << rank;
  }
}

TEST(Synthesize, ChoicesOverTheVocabularyAreUniform) { expect_distribution("uniform", 0.0); }
TEST(Synthesize, ChoicesOverTheVocabularyFollowZipf) { expect_distribution("zipf:1", 1.0); }

TEST(Synthesize, NoLayerWritesToTheRoutingComponents) {
  const TempDir dir;
  SynthOptions options{.like = small_config(small_shapes().front(), dir), .layers = 1};
  options.out = dir.path() / "out";
  const Made made = make(options);
  const uint32_t dims = RoutingSubspace::of(made.config.hidden_size, made.config.vocab_size).dims;
  const auto expect_zero = [&](const WeightRef& ref) {
    const auto values = decoded(view(made, ref));
    EXPECT_TRUE(
        std::all_of(values.begin(), values.begin() + dims * ref.cols, [](float v) { return v == 0; }));
    EXPECT_FALSE(std::all_of(values.begin() + dims * ref.cols, values.end(), [](float v) { return v == 0; }));
  };
  expect_zero(made.plan.matrix("layers.0.self_attn.o_proj"));
  for (const ExpertRef& expert : made.plan.experts[0].experts) expect_zero(expert.down);
}

TEST(Synthesize, SameSeedSameBytesOnAnyNumberOfThreads) {
  const TempDir dir;
  SynthOptions options{.like = small_config(small_shapes()[2], dir), .layers = 2};
  const auto bytes_of = [&](const char* name, size_t threads, uint64_t seed) {
    options.out = dir.path() / name;
    options.seed = seed;
    ThreadPool pool(threads);
    synthesize(options, pool, {});
    return read_text_file(options.out / "model-00001-of-00001.safetensors", uint64_t{64} << 20);
  };
  const std::string first = bytes_of("a", 1, 1);
  EXPECT_EQ(first, bytes_of("b", 3, 1));
  EXPECT_NE(first, bytes_of("c", 1, 2));
}

TEST(Synthesize, StoppedWorkLeavesNothing) {
  const TempDir dir;
  SynthOptions options{.like = small_config(small_shapes().front(), dir), .layers = 2};
  options.out = dir.path() / "out";
  ThreadPool pool(2);
  EXPECT_MACH_ERROR(synthesize(options, pool, [](uint64_t done, uint64_t) { return done < 100000; }),
                    ErrorCode::kCancelled, HasSubstr("stopped"));
  EXPECT_FALSE(std::filesystem::exists(options.out));
  EXPECT_FALSE(std::filesystem::exists(options.out.string() + ".partial"));
}

TEST(Synthesize, RefusesWhatItCannotMake) {
  ThreadPool pool(1);
  EXPECT_MACH_ERROR(synthesize({.like = "llama"}, pool, {}), ErrorCode::kInvalidRequest,
                    HasSubstr("qwen3-30b-a3b"));
  EXPECT_MACH_ERROR(synthesize({.like = "gpt-oss-20b", .layers = 25}, pool, {}), ErrorCode::kInvalidRequest,
                    HasSubstr("more than the 24"));
  EXPECT_MACH_ERROR(parse_routing("zipf:x"), ErrorCode::kInvalidRequest, HasSubstr("zipf:S"));
  EXPECT_MACH_ERROR(parse_routing("flat"), ErrorCode::kInvalidRequest, HasSubstr("uniform"));
  EXPECT_MACH_ERROR(find_quant("q4"), ErrorCode::kInvalidRequest, HasSubstr("affine4"));
}

}  // namespace
}  // namespace mach::synth
