#include "model/blocks/router.h"

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include <gmock/gmock.h>

#include "base/cpu_features.h"
#include "model/workspace.h"

namespace mach {
namespace {

using ::testing::ElementsAre;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<uint32_t> top(std::vector<float> scores, size_t k) {
  std::vector<uint32_t> chosen(k, 99);
  select_top_k(scores, chosen);
  return chosen;
}

TEST(SelectTopK, TakesTheLargestBestFirst) {
  EXPECT_THAT(top({0.1F, 5.0F, -2.0F, 3.0F, 4.0F}, 3), ElementsAre(1, 4, 3));
  EXPECT_THAT(top({3.0F, 1.0F, 2.0F}, 3), ElementsAre(0, 2, 1));
}

TEST(SelectTopK, OfEqualScoresTheSmallerIdWins) {
  EXPECT_THAT(top({1.0F, 2.0F, 2.0F, 2.0F, 1.0F}, 4), ElementsAre(1, 2, 3, 0));
  EXPECT_THAT(top({0.0F, -0.0F, 0.0F}, 2), ElementsAre(0, 1));
}

TEST(SelectTopK, NamesDistinctIdsWhateverTheScoresAre) {
  EXPECT_THAT(top({kNan, 1.0F, kNan, -kInf}, 2), ElementsAre(1, 0));
  EXPECT_THAT(top({kNan, kNan, kNan}, 2), ElementsAre(0, 1));
  EXPECT_THAT(top({-kInf, -kInf, kInf}, 3), ElementsAre(2, 0, 1));
}

class RouterTest : public ::testing::Test {
 protected:
  RouterTest() : workspace(pool, select_kernel_set(probe_cpu_features())), frame(workspace.arena()) {}
  ThreadPool pool{1};
  Workspace workspace;
  ScratchArena::Frame frame;
  std::array<float, 8> logits = {1.0F, 3.0F, 2.0F, 0.0F, -1.0F, 0.5F, 0.25F, 4.0F};  // two rows
};

TEST_F(RouterTest, SoftmaxOverAllExpertsThenTheTopK) {
  const double sum = std::exp(1.0) + std::exp(3.0) + std::exp(2.0) + 1.0;
  const Routing routing = softmax_top_k(workspace, {logits.data(), 2, 4}, 2, false);
  EXPECT_THAT(routing.experts_of(0), ElementsAre(1, 2));
  EXPECT_THAT(routing.experts_of(1), ElementsAre(3, 1));
  EXPECT_NEAR(routing.weights.row(0)[0], std::exp(3.0) / sum, 1e-6);
  EXPECT_NEAR(routing.weights.row(0)[1], std::exp(2.0) / sum, 1e-6);
}

TEST_F(RouterTest, RenormalizedWeightsEqualASoftmaxOverTheChosen) {
  auto copy = logits;
  const Routing a = softmax_top_k(workspace, {logits.data(), 2, 4}, 3, true);
  const Routing b = top_k_softmax(workspace, {copy.data(), 2, 4}, 3);
  for (uint32_t row = 0; row < 2; ++row) {
    float sum = 0;
    for (uint32_t k = 0; k < 3; ++k) {
      EXPECT_EQ(a.experts_of(row)[k], b.experts_of(row)[k]);
      EXPECT_NEAR(a.weights.row(row)[k], b.weights.row(row)[k], 1e-6);
      sum += a.weights.row(row)[k];
    }
    EXPECT_NEAR(sum, 1.0F, 1e-6);
  }
}

}  // namespace
}  // namespace mach
