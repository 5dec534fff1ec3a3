#include "experts/resident_experts.h"

#include <array>

#include <gtest/gtest.h>

#include "mach/error.h"

namespace mach {
namespace {

ExpertWeights expert_with_rows(uint32_t rows) {
  ExpertWeights weights;
  weights.gate.rows = rows;
  return weights;
}

TEST(ResidentExperts, LeasesComeInTheOrderAskedFor) {
  ResidentExperts experts({{}, {expert_with_rows(10), expert_with_rows(11), expert_with_rows(12)}});
  EXPECT_EQ(experts.max_lease(0), 0U);
  EXPECT_EQ(experts.max_lease(1), 3U);
  EXPECT_EQ(experts.max_lease(2), 0U);
  const std::array<uint32_t, 2> ids = {2, 0};
  const ExpertLease lease = experts.acquire(1, ids);
  ASSERT_EQ(lease.size(), 2U);
  EXPECT_EQ(lease[0].gate.rows, 12U);
  EXPECT_EQ(lease[1].gate.rows, 10U);
}

TEST(ResidentExperts, RefusesIdsThatTheLayerDoesNotHave) {
  ResidentExperts experts({{}, {expert_with_rows(10)}});
  const std::array<uint32_t, 1> ids = {1};
  EXPECT_THROW(experts.acquire(1, ids), Error);
  EXPECT_THROW(experts.acquire(0, std::array<uint32_t, 1>{0}), Error);
  EXPECT_THROW(experts.acquire(7, std::array<uint32_t, 1>{0}), Error);
}

}  // namespace
}  // namespace mach
