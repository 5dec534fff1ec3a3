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
