// The parts of a bank that decide: sizes, eviction keys, the queue of reads, the lookahead gate.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "experts/bank_size.h"
#include "experts/eviction.h"
#include "experts/lookahead_gate.h"
#include "experts/read_queue.h"
#include "support/expect_error.h"
#include "support/scripted_source.h"

namespace mach {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::vector<ExpertLayerSpec> two_sizes() {
  const testing::MadeUpSource small({8, 0, 8}, 32);
  const testing::MadeUpSource large({0, 4}, 320);
  std::vector<ExpertLayerSpec> layers(small.layers().begin(), small.layers().end());
  layers.insert(layers.begin() + 1, large.layers().begin(), large.layers().end());
  return layers;
}

TEST(BankSize, FloorIsATokensWorkingSet) {
  const auto layers = two_sizes();
  const uint64_t small = layers[0].record.size;
  const uint64_t large = layers[1].record.size;
  ASSERT_NE(small, large);
  EXPECT_EQ(bank_floor_bytes(layers, 2), 4 * small + 2 * large);
  EXPECT_EQ(bank_floor_bytes(layers, 6), 12 * small + 4 * large) << "a layer has no more experts than it has";
  EXPECT_EQ(expert_record_bytes(layers), 16 * small + 4 * large);
  EXPECT_EQ(expert_total(layers), 20U);
}

TEST(BankSize, SlotsNeverTakeMoreThanTheBudget) {
  const auto layers = two_sizes();
  const uint64_t floor = bank_floor_bytes(layers, 2);
  for (uint64_t budget = floor; budget < 2 * expert_record_bytes(layers); budget += 1000) {
    uint64_t taken = 0;
    for (const SlotClass& slots : plan_slots(layers, 2, budget)) {
      taken += slots.slots * slots.record_size;
      EXPECT_LE(slots.slots, slots.experts);
      EXPECT_GE(slots.slots, 2 * slots.layers.size()) << budget;
    }
    ASSERT_LE(taken, budget);
  }
  EXPECT_MACH_ERROR(plan_slots(layers, 2, floor - 1), ErrorCode::kOutOfBudget,
                    AllOf(HasSubstr(std::to_string(floor)), HasSubstr("--expert-cache-gb")));
}

TEST(BankSize, AutoLeavesAReserveAndTakesNoMoreThanThereIs) {
  const auto layers = two_sizes();
  constexpr uint64_t kGiB = uint64_t{1} << 30;
  const MemoryInfo memory{.total = 16 * kGiB, .available = 10 * kGiB, .cgroup_limit = {}};
  EXPECT_EQ(memory_reserve(memory), kGiB);
  EXPECT_EQ(auto_bank_bytes(layers, memory, 0), expert_record_bytes(layers));
  EXPECT_EQ(auto_bank_bytes(layers, memory, 9 * kGiB - 5000), 5000U);
  EXPECT_EQ(auto_bank_bytes(layers, memory, 20 * kGiB), 0U);
}

TEST(Eviction, LruOrdersByLastUse) {
  EvictionPolicy policy(EvictionKind::kLru, 3);
  policy.used(0, 1);
  policy.used(1, 1);
  policy.used(0, 1);
  EXPECT_LT(policy.key(1), policy.key(0));
  EXPECT_LT(policy.key(2), policy.key(1)) << "never used";
}

TEST(Eviction, LfruWeighsFrequencyAgainstAge) {
  EvictionPolicy policy(EvictionKind::kLfru, 3);
  for (uint64_t token = 1; token <= 20; ++token) policy.used(0, token);
  policy.used(1, 21);
  EXPECT_LT(policy.key(1), policy.key(0)) << "one recent use does not outweigh twenty";
  policy.used(2, 20 + 6 * static_cast<uint64_t>(EvictionPolicy::kHalfLife));
  EXPECT_LT(policy.key(0), policy.key(2)) << "but heat fades";
  // Exactly: two uses now are one use a half-life later.
  EvictionPolicy pair(EvictionKind::kLfru, 2);
  pair.used(0, 5);
  pair.used(0, 5);
  pair.used(1, 5 + static_cast<uint64_t>(EvictionPolicy::kHalfLife));
  EXPECT_NEAR(pair.key(0), pair.key(1), 1e-12);
}

TEST(ReadQueue, MostUrgentFirst) {
  ReadQueue queue(5);
  queue.push(0, Urgency::kGuess);
  queue.push(1, Urgency::kNext);
  queue.push(2, Urgency::kDemand);
  queue.push(3, Urgency::kNext);
  queue.push(4, Urgency::kNext);
  queue.push(4, Urgency::kDemand);  // promoted
  queue.cancel(1);
  const auto pop = [&](bool guesses) {
    const auto read = queue.pop(guesses);
    return read ? static_cast<int>(read->expert) : -1;
  };
  EXPECT_EQ(pop(false), 2);
  EXPECT_EQ(pop(false), 4);
  EXPECT_EQ(pop(false), 3);
  EXPECT_EQ(pop(false), -1);
  EXPECT_EQ(pop(true), 0);
  EXPECT_EQ(pop(true), -1);
}

// Runs the gate on a machine where a pass takes `with` or `without` seconds; how many of the passes were on?
int passes_on(LookaheadGate& gate, int passes, double without, double with, uint64_t misses) {
  int on = 0;
  for (int i = 0; i < passes; ++i) {
    on += gate.on() ? 1 : 0;
    gate.passed(gate.on() ? with : without, misses);
  }
  return on;
}

TEST(LookaheadGate, StaysOnOnlyWhereItPays) {
  constexpr int kTrial = LookaheadGate::kWarmUp + 4 * LookaheadGate::kStretch;
  LookaheadGate pays;
  EXPECT_EQ(passes_on(pays, kTrial, 1.0, 0.8, 10), 2 * static_cast<int>(LookaheadGate::kStretch));
  EXPECT_EQ(passes_on(pays, 100, 1.0, 0.8, 10), 100);
  LookaheadGate costs;
  passes_on(costs, kTrial, 1.0, 1.1, 10);
  EXPECT_EQ(passes_on(costs, 100, 1.0, 1.1, 10), 0);
  EXPECT_GT(passes_on(costs, LookaheadGate::kHold, 1.0, 0.5, 10), 0) << "it is tried again later";
  LookaheadGate nothing_misses;
  EXPECT_EQ(passes_on(nothing_misses, 300, 1.0, 0.5, 0), 0);
}

}  // namespace
}  // namespace mach
