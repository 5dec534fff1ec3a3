#include "base/byte_cursor.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace mach {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(ByteCursor, ReadsLittleEndianNumbersAtAnyAddress) {
  const std::string text("\x01\x02\x03\x04\x05\x00\x00\x80\x3f", 9);
  ByteCursor cursor(bytes_of(text), "x.bin");
  EXPECT_EQ(cursor.read<uint8_t>("a"), 1U);
  EXPECT_EQ(cursor.read<uint32_t>("b"), 0x05040302U);
  EXPECT_EQ(cursor.position(), 5U);
  EXPECT_EQ(cursor.read<float>("c"), 1.0F);
  EXPECT_EQ(cursor.remaining(), 0U);
}

TEST(ByteCursor, RefusesToReadPastTheEndAndStaysWhereItWas) {
  ByteCursor cursor(bytes_of("abcdef"), "x.bin");
  cursor.skip(4, "start");
  EXPECT_MACH_ERROR(
      cursor.read<uint32_t>("record count"), ErrorCode::kCorruptFile,
      AllOf(HasSubstr("x.bin"), HasSubstr("record count"), HasSubstr("4 bytes wanted at 4, 2 left")));
  EXPECT_MACH_ERROR(cursor.take(std::numeric_limits<uint64_t>::max(), "blob"), ErrorCode::kCorruptFile,
                    HasSubstr("blob"));
  EXPECT_EQ(cursor.take_text(2, "rest"), "ef");
}

}  // namespace
}  // namespace mach
