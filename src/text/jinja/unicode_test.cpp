#include "text/jinja/unicode.h"

#include <gtest/gtest.h>

namespace mach::jinja {
namespace {

// The right-hand sides are Python 3.11's.
TEST(Unicode, CaseMappingFollowsTheFullTables) {
  EXPECT_EQ(to_upper("straße ŉ ﬁ ǰ"), "STRASSE ʼN FI J̌");
  EXPECT_EQ(to_lower("ΑΣ ΣΑ ΑΣ' ΑΣΑ İ"), "ας σα ας' ασα i̇");
  EXPECT_EQ(to_title("they're ǆ ﬁx 1st"), "They'Re ǅ Fix 1St");
  EXPECT_EQ(to_capitalized("ßETA"), "Sseta");
  EXPECT_EQ(swap_case("aBß"), "AbSS");
  EXPECT_EQ(fold_case("Straße ΑΣ"), "strasse ασ");
}

TEST(Unicode, ClassesTellDigitsFromNumbers) {
  EXPECT_TRUE(is_decimal(U'٣'));
  EXPECT_EQ(decimal_value(U'٣'), 3);
  EXPECT_EQ(decimal_value(U'𝟡'), 9);
  EXPECT_EQ(decimal_value(U'x'), -1);
  EXPECT_TRUE(is_digit(U'²') && !is_decimal(U'²'));
  EXPECT_TRUE(is_numeric(U'½') && !is_digit(U'½'));
  EXPECT_TRUE(is_numeric(U'Ⅷ') && !is_numeric(U'x'));
  EXPECT_TRUE(is_space(0x3000) && is_space(0x1C) && !is_space(0x200B));
  EXPECT_FALSE(is_printable(0xA0) || is_printable(0x200B) || is_printable(0xE000));
}

TEST(Unicode, StripsAndSplitsByCodePoint) {
  EXPECT_EQ(strip("\u3000 x \u00a0", {}, true, true), "x");
  EXPECT_EQ(strip("éxé", "é", true, false), "xé");
  EXPECT_EQ(byte_offset("aé日🚀", 3), 6U);
  EXPECT_EQ(byte_offset("aé", 9), 3U);
  size_t at = 6;
  EXPECT_EQ(previous_code_point("aé日🚀", at), U'日');
  EXPECT_EQ(at, 3U);
}

TEST(Unicode, LinesEndWhereSplitlinesEndsThem) {
  const std::string text = "a\r\nb\rc\u2028d\x1c";
  size_t at = 0;
  EXPECT_EQ(next_line(text, at, false), "a");
  EXPECT_EQ(next_line(text, at, true), "b\r");
  EXPECT_EQ(next_line(text, at, false), "c");
  EXPECT_EQ(next_line(text, at, false), "d");
  EXPECT_EQ(next_line(text, at, false), std::nullopt);
}

}  // namespace
}  // namespace mach::jinja
