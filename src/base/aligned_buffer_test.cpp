#include "base/aligned_buffer.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace mach {
namespace {

TEST(AlignedBuffer, StartsAtTheAlignmentAskedFor) {
  for (const size_t alignment : {kVectorAlignment, kDirectIoAlignment}) {
    for (const size_t size : {1U, 63U, 4097U, 100'000U}) {
      AlignedBuffer buffer(size, alignment);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % alignment, 0U);
      EXPECT_EQ(buffer.bytes().size(), size);
      buffer.bytes().front() = std::byte{1};
      buffer.bytes().back() = std::byte{2};
    }
  }
}

TEST(AlignedBuffer, HugePagesAreAlignedAndWritableToTheEnd) {
  AlignedBuffer buffer((size_t{3} << 20) + 5, kVectorAlignment, PageHint::kHuge);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % (size_t{2} << 20), 0U);
  for (size_t i = 0; i < buffer.size(); i += 4096) buffer.data()[i] = std::byte{7};
  buffer.bytes().back() = std::byte{7};
  EXPECT_EQ(buffer.bytes().front(), std::byte{7});
}

TEST(AlignedBuffer, MovesItsMemory) {
  AlignedBuffer first(128);
  std::byte* data = first.data();
  AlignedBuffer second(64);
  second = std::move(first);
  EXPECT_EQ(second.data(), data);
  EXPECT_EQ(second.size(), 128U);
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): the moved-from state is what is tested
  EXPECT_EQ(second.as<float>().size(), 32U);
}

TEST(AlignedBuffer, AnEmptyBufferHoldsNothing) {
  const AlignedBuffer buffer(0);
  EXPECT_EQ(buffer.data(), nullptr);
  EXPECT_TRUE(buffer.bytes().empty());
}

TEST(AlignedBuffer, RefusesWhatNoMachineHas) {
  constexpr size_t kMax = std::numeric_limits<size_t>::max();
  for (const PageHint pages : {PageHint::kDefault, PageHint::kHuge}) {
    EXPECT_MACH_ERROR(AlignedBuffer(kMax, 64, pages), ErrorCode::kOutOfBudget,
                      ::testing::HasSubstr(std::to_string(kMax)));
    EXPECT_MACH_ERROR(AlignedBuffer(size_t{1} << 60, 64, pages), ErrorCode::kOutOfBudget,
                      ::testing::HasSubstr("cannot allocate"));
  }
}

}  // namespace
}  // namespace mach
