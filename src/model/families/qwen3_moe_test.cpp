// qwen3_moe against recorded outputs of the reference. Nano checkpoints are random and hit dense and MoE
// layers; minis are trained. `-mlx-4bit` stores every matrix as 4-bit affine, its router as 8-bit.
#include <string>

#include <gtest/gtest.h>

#include "support/golden.h"
#include "support/shared_dir.h"

namespace mach::testing {
namespace {

class Qwen3MoeNano : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto shared = shared_dir();
    if (!shared) GTEST_SKIP() << kNoSharedDir;
    folder_ = *shared / GetParam();
  }
  std::filesystem::path folder_;
};
class Qwen3MoeMini : public Qwen3MoeNano {};

TEST_P(Qwen3MoeNano, AgreesWithTheReferenceAtEveryLayer) { check_nano(folder_, 5e-5); }
TEST_P(Qwen3MoeNano, ContinuesGreedilyAsTheReference) { check_nano_greedy(folder_); }
TEST_P(Qwen3MoeNano, ExactModeDoesNotDependOnChunksThreadsKernelsOrBatch) { check_exact_invariance(folder_); }
TEST_P(Qwen3MoeNano, ForgetsWrongDrafts) { check_rollback(folder_, 5); }
TEST_P(Qwen3MoeNano, ContinuesFromSnapshotsAndSavedStates) { check_snapshots(folder_); }

TEST_P(Qwen3MoeMini, AgreesWithTheReference) { check_mini(folder_, 1e-4); }
TEST_P(Qwen3MoeMini, PredictsHeldOutTextAsTheReference) { check_nll(folder_, Numerics::kExact, 2, 0.002); }
TEST_P(Qwen3MoeMini, FastModePredictsNearlyAsWell) { check_nll(folder_, Numerics::kFast, 2, 0.005); }
TEST_P(Qwen3MoeMini, FastModeStaysNearExact) { check_fast(folder_, 2, 2e-3, 0.99); }

std::string name_of(const ::testing::TestParamInfo<const char*>& param) {
  std::string name = std::filesystem::path(param.param).filename().string();
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Qwen3MoeNano,
                         ::testing::Values("fixtures/nano/qwen3_moe", "fixtures/nano/qwen3_moe-mlx-4bit"),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Checkpoints, Qwen3MoeMini,
                         ::testing::Values("models/mini-qwen3_moe", "models/mini-qwen3_moe-mlx-4bit"),
                         name_of);

}  // namespace
}  // namespace mach::testing
