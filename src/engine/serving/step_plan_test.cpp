#include "engine/serving/step_plan.h"

#include <numeric>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mach {
namespace {

using ::testing::ElementsAre;

constexpr StepLimits kLimits{.prefill_chunk = 512, .interleaved_chunk = 64};

StepDemand prompt(uint32_t tokens) { return {tokens, false}; }
StepDemand generating() { return {1, true}; }

TEST(StepPlan, APromptAloneGetsTheWholeChunk) {
  EXPECT_THAT(plan_step(std::vector{prompt(2000)}, kLimits), ElementsAre(512));
  EXPECT_THAT(plan_step(std::vector{prompt(20)}, kLimits), ElementsAre(20));
}

TEST(StepPlan, EverySequenceThatGeneratesTakesPartAndBoundsThePrompts) {
  EXPECT_THAT(plan_step(std::vector{generating(), prompt(2000), generating()}, kLimits),
              ElementsAre(1, 64, 1));
}

TEST(StepPlan, AShortPromptDoesNotWaitForALongOne) {
  EXPECT_THAT(plan_step(std::vector{prompt(2000), prompt(30)}, kLimits), ElementsAre(482, 30));
  EXPECT_THAT(plan_step(std::vector{prompt(2000), prompt(3000)}, kLimits), ElementsAre(256, 256));
}

TEST(StepPlan, TheOldestPromptMovesWhenThereIsLessThanATokenForEach) {
  const std::vector demands{prompt(9), prompt(9), prompt(9)};
  EXPECT_THAT(plan_step(demands, {.prefill_chunk = 2, .interleaved_chunk = 2}), ElementsAre(1, 1, 0));
}

TEST(StepPlan, RandomDemandsAreServedWithinTheBudgetAndUsedUp) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::vector<StepDemand> demands(random() % 9);
    bool any_generates = false;
    uint64_t wanted = 0;
    for (StepDemand& demand : demands) {
      demand = random() % 2 == 0 ? generating() : prompt(static_cast<uint32_t>(random() % 700));
      any_generates |= demand.generating;
      wanted += demand.generating ? 0 : demand.tokens;
    }
    const auto counts = plan_step(demands, kLimits);
    uint64_t spent = 0;
    for (size_t i = 0; i < demands.size(); ++i) {
      ASSERT_LE(counts[i], demands[i].tokens);
      if (demands[i].generating) {
        ASSERT_EQ(counts[i], 1U);
      } else {
        spent += counts[i];
      }
    }
    ASSERT_EQ(spent, std::min<uint64_t>(wanted, any_generates ? 64 : 512));
  }
}

}  // namespace
}  // namespace mach
