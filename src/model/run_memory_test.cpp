// What arch/run_memory.h predicts from a config alone is what sequences and passes really take.
#include "arch/run_memory.h"

#include <filesystem>
#include <numeric>

#include <gtest/gtest.h>

#include "support/golden.h"
#include "support/shared_dir.h"

namespace mach::testing {
namespace {

class RunMemory : public ::testing::TestWithParam<const char*> {};

// Several chunks, the last one short, then decode steps: block ends, full rings and kept staging all occur.
TEST_P(RunMemory, CachesTakeWhatTheConfigPredicts) {
  const auto shared = shared_dir();
  if (!shared) GTEST_SKIP() << kNoSharedDir;
  LoadedModel loaded(*shared / GetParam(), Numerics::kFast, 2);
  const auto state = loaded.model->new_state();
  RunShape shape{.context = 203, .prefill_chunk = 100, .threads = 2};
  TokenIds ids(shape.context);
  std::iota(ids.begin(), ids.end(), 1);
  for (int32_t& id : ids) id %= static_cast<int32_t>(loaded.vocab_size());
  append_all(loaded, *state, ids, {100, 100, 1, 1, 1});
  EXPECT_EQ(state->bytes(), cache_memory(loaded.model->config(), shape).steady());
}

// The arena grows in chunks that at least double it, so what a pass needs lies between half of it and all of it.
TEST_P(RunMemory, ScratchIsWhatAPassTakes) {
  const auto shared = shared_dir();
  if (!shared) GTEST_SKIP() << kNoSharedDir;
  LoadedModel loaded(*shared / GetParam(), Numerics::kExact, 1);
  const auto state = loaded.model->new_state();
  // Long enough that the arena is larger than its first chunk of 1 MB.
  const uint32_t tokens = std::min<uint32_t>(2048, loaded.model->config().max_position_embeddings);
  const RunShape shape{.context = tokens,
                       .prefill_chunk = tokens,
                       .kv_element_bytes = 4,
                       .int8_activations = false,
                       .threads = 0};
  TokenIds ids(tokens, 1);
  std::vector<float> logits(loaded.vocab_size());
  const SequenceStep step{.state = state.get(), .tokens = ids};
  loaded.model->forward(loaded.workspace, {&step, 1}, logits);
  const auto arena = static_cast<double>(loaded.workspace.arena().bytes());
  const auto predicted = static_cast<double>(scratch_memory(loaded.model->config(), shape));
  EXPECT_LT(predicted, 1.15 * arena);
  EXPECT_GT(predicted, 0.45 * arena);
  RecordProperty("arena", std::to_string(arena));
  RecordProperty("predicted", std::to_string(predicted));
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, RunMemory,
                         ::testing::Values("fixtures/nano/qwen3_moe", "fixtures/nano/qwen3_moe-mlx-4bit",
                                           "fixtures/nano/gpt_oss", "fixtures/nano/gemma4",
                                           "fixtures/nano/qwen3_5_moe", "fixtures/nano/deepseek_v4",
                                           "models/mini-qwen3_moe-mlx-4bit", "models/mini-gpt_oss-mxfp4",
                                           "models/mini-gemma4", "models/mini-qwen3_5_moe",
                                           "models/mini-deepseek_v4"),
                         [](const auto& row) {
                           std::string name = row.param;
                           for (char& c : name)
                             c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace mach::testing
