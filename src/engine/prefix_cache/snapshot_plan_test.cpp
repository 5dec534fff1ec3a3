#include "engine/prefix_cache/snapshot_plan.h"

#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mach {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr TokenId kEnd = 9;
constexpr std::array<TokenId, 1> kTurnEnds = {kEnd};

std::vector<TokenId> prompt_with_turns(uint32_t size, std::initializer_list<uint32_t> ends) {
  std::vector<TokenId> prompt(size, 1);
  for (const uint32_t end : ends) prompt[end - 1] = kEnd;
  return prompt;
}

TEST(SnapshotPlan, TakesTheFirstTurnAndTheLastTwo) {
  const auto prompt = prompt_with_turns(500, {100, 200, 300, 400, 495});
  EXPECT_THAT(snapshot_lengths(prompt, {.turn_ends = kTurnEnds}), ElementsAre(100, 400, 495));
}

TEST(SnapshotPlan, APromptWithoutTurnsIsKeptUpToItsLastToken) {
  const std::vector<TokenId> prompt(300, 1);
  EXPECT_THAT(snapshot_lengths(prompt, {}), ElementsAre(299));
  EXPECT_THAT(snapshot_lengths(prompt, {.whole_prompt_is_prefix = true}), ElementsAre(300));
  EXPECT_THAT(snapshot_lengths(prompt, {.interval = 128}), ElementsAre(128, 256, 299));
}

TEST(SnapshotPlan, NothingThatTheCacheHasAlready) {
  const auto prompt = prompt_with_turns(500, {100, 495});
  EXPECT_THAT(snapshot_lengths(prompt, {.turn_ends = kTurnEnds, .restored = 100}), ElementsAre(495));
  EXPECT_THAT(snapshot_lengths(prompt, {.turn_ends = kTurnEnds, .restored = 495}), IsEmpty());
}

TEST(SnapshotPlan, WherePromptsPartIsKept) {
  const std::vector<TokenId> prompt(300, 1);
  EXPECT_THAT(snapshot_lengths(prompt, {.restored = 64, .common = 150}), ElementsAre(150, 299));
  EXPECT_THAT(snapshot_lengths(prompt, {.restored = 64, .common = 64}), ElementsAre(299));
}

TEST(SnapshotPlan, NamedLengthsCountWhereTheyMakeSense) {
  const std::vector<TokenId> prompt(300, 1);
  const std::vector<uint32_t> named = {280, 5, 900, 120};
  EXPECT_THAT(snapshot_lengths(prompt, {.boundaries = named, .least = 64}), ElementsAre(120, 280));
}

TEST(SnapshotPlan, ShortPromptsAreNotWorthIt) {
  EXPECT_THAT(snapshot_lengths(std::vector<TokenId>(40, 1), {.least = 64}), IsEmpty());
  EXPECT_THAT(snapshot_lengths(std::vector<TokenId>(1, 1), {.least = 1}), IsEmpty());
}

}  // namespace
}  // namespace mach
