// What arch/run_memory.h and arch/held_weights.h predict from config and headers is what sequences and weights really take.
#include "arch/run_memory.h"

#include <filesystem>
#include <numeric>

#include <gtest/gtest.h>

#include "arch/held_weights.h"
#include "io/checkpoint_files.h"
#include "model/model.h"
#include "support/golden.h"
#include "support/shared_dir.h"

namespace mach::testing {
namespace {

class RunMemory : public ::testing::TestWithParam<const char*> {};

// Several chunks, the last one short, then decode steps: block ends, full rings and kept staging all occur.
TEST_P(RunMemory, CachesTakeWhatTheConfigPredicts) {
  const auto shared = shared_dir();
  if (!shared) GTEST_SKIP() << kNoSharedDir;
  for (const KvElement element : {KvElement::kBF16, KvElement::kQ8}) {
    LoadedModel loaded(
        Model::open(*shared / GetParam(), {.numerics = Numerics::kFast, .kv_element = element}), 2);
    const auto state = loaded.model->new_state();
    const RunShape shape{.context = 203, .prefill_chunk = 100, .kv_element = element, .threads = 2};
    TokenIds ids(shape.context);
    std::iota(ids.begin(), ids.end(), 1);
    for (int32_t& id : ids) id %= static_cast<int32_t>(loaded.vocab_size());
    append_all(loaded, *state, ids, {100, 100, 1, 1, 1});
    EXPECT_EQ(state->bytes(), cache_memory(loaded.model->config(), shape).steady());
  }
}

// Which matrices are packed stands in the families' lists of parameters and in their graphs.
TEST_P(RunMemory, LoadingPacksWhatThePlanPredicts) {
  const auto shared = shared_dir();
  if (!shared) GTEST_SKIP() << kNoSharedDir;
  const std::filesystem::path folder = *shared / GetParam();
  uint64_t packed = 0;
  const auto model =
      Model::open(folder, {.numerics = Numerics::kFast,
                           .load_progress = [&](uint64_t done, uint64_t /*total*/) { packed = done; }});
  const TensorPlan plan = build_tensor_plan(model->config(), read_tensor_catalog(folder));
  const HeldWeights held = held_weights(model->config(), plan);
  EXPECT_EQ(packed, held.resident.packed + held.experts.packed);
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, RunMemory,
                         ::testing::Values("fixtures/nano/qwen3_moe", "fixtures/nano/qwen3_moe-mlx-4bit",
                                           "fixtures/nano/gpt_oss", "fixtures/nano/gemma4",
                                           "fixtures/nano/qwen3_5_moe", "fixtures/nano/deepseek_v4",
                                           "models/mini-qwen3_moe-mlx-4bit", "models/mini-gpt_oss-mxfp4",
                                           "models/mini-gemma4", "models/mini-gemma4-mlx-4bit",
                                           "models/mini-qwen3_5_moe", "models/mini-deepseek_v4",
                                           "models/mini-deepseek_v4-fp8-fp4"),
                         [](const auto& row) {
                           std::string name = row.param;
                           for (char& c : name)
                             c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace mach::testing
