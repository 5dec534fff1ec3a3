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
#include "experts/expert_source.h"
#include "io/checkpoint_files.h"
#include "io/json.h"
#include "quant/decode.h"
#include "quant/validate.h"
#include "support/expect_error.h"
#include "support/small_shapes.h"
#include "support/temp_dir.h"
#include "synth/synth_config.h"

namespace mach::synth {
namespace {

using ::mach::testing::small_shapes;
using ::mach::testing::SmallShape;
using ::mach::testing::TempDir;
using ::mach::testing::write_shape;
using ::testing::HasSubstr;

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
  for (const SmallShape& small : small_shapes()) {
    for (const QuantRow& quant : quant_rows()) {
      SCOPED_TRACE(small.like + " " + std::string(quant.name));
      SynthOptions options{.like = write_shape(small, dir.path()), .layers = 4, .quant = quant.quant};
      options.out = dir.path() / (small.like + std::string(quant.name));
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
  const SmallShape small = small_shapes().front();
  SynthOptions options{
      .like = write_shape(small, dir.path()), .layers = 3, .routing = parse_routing(routing)};
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
  SynthOptions options{.like = write_shape(small_shapes().front(), dir.path()), .layers = 1};
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
  SynthOptions options{.like = write_shape(small_shapes()[2], dir.path()), .layers = 2};
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

// The records that mach makes of the shards' experts.
TEST(Synthesize, SidecarHoldsTheSameExperts) {
  for (const SmallShape& small : small_shapes()) {
    SCOPED_TRACE(small.like);
    const TempDir dir;
    SynthOptions options{.like = write_shape(small, dir.path()), .layers = 2, .quant = Quant::kMxFp4};
    options.out = dir.path() / "shards";
    const Made made = make(options);
    options.out = dir.path() / "engine";
    options.sidecar = true;
    ThreadPool pool(2);
    synthesize(options, pool, {});
    std::vector<std::filesystem::path> shards;
    for (size_t i = 0; i < made.files.catalog().shards().size(); ++i)
      shards.push_back(made.files.shard_path(i));
    const auto wanted = open_checkpoint_source(std::move(shards), made.plan);
    auto layout = read_sidecar_layout(options.out);
    ASSERT_TRUE(layout.has_value());
    check_sidecar_layout(*layout, made.config, "engine");
    const auto sidecar = open_sidecar_source(options.out, std::move(*layout), true);
    ReadContext from(make_reader(ReaderKind::kBuffered, wanted->files()));
    ReadContext to(make_reader(ReaderKind::kBuffered, sidecar->files()));
    for (const ExpertLayerSpec& layer : wanted->layers()) {
      AlignedBuffer a(layer.record.size, kDirectIoAlignment), b(layer.record.size, kDirectIoAlignment);
      for (uint32_t expert = 0; expert < layer.experts; ++expert) {
        wanted->read({layer.layer, expert}, a.bytes(), from);
        sidecar->read({layer.layer, expert}, b.bytes(), to);
        EXPECT_TRUE(std::equal(a.bytes().begin(), a.bytes().end(), b.bytes().begin()));
      }
    }
  }
}

TEST(Synthesize, StoppedWorkLeavesNothing) {
  const TempDir dir;
  SynthOptions options{.like = write_shape(small_shapes().front(), dir.path()), .layers = 2};
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
