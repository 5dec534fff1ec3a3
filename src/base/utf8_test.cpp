#include "base/utf8.h"

#include <gtest/gtest.h>

#include "base/quoted_name.h"

namespace mach {
namespace {

// A plain restatement of Unicode 15 table 3-7 for one code point's encoding.
std::string encode(char32_t c) {
  std::string out;
  append_utf8(out, c);
  return out;
}

TEST(Utf8, EveryScalarValueComesBack) {
  for (char32_t c = 0; c <= 0x10ffff; ++c) {
    if (c >= 0xd800 && c <= 0xdfff) continue;
    const std::string text = encode(c);
    const Utf8Char decoded = decode_utf8(text);
    ASSERT_TRUE(decoded.valid) << std::hex << static_cast<uint32_t>(c);
    ASSERT_EQ(decoded.code_point, c);
    ASSERT_EQ(decoded.length, text.size());
  }
}

TEST(Utf8, EncodesKnownCharacters) {
  EXPECT_EQ(encode(U'A'), "A");
  EXPECT_EQ(encode(U'\u00e9'), "\xc3\xa9");
  EXPECT_EQ(encode(U'\u20ac'), "\xe2\x82\xac");
  EXPECT_EQ(encode(U'\U0001f600'), "\xf0\x9f\x98\x80");
  EXPECT_EQ(encode(0xd800), "\xef\xbf\xbd");
  EXPECT_EQ(encode(0x110000), "\xef\xbf\xbd");
}

TEST(Utf8, RejectsIllFormedSequences) {
  const std::string_view bad[] = {
      "\x80",              // lone continuation
      "\xc0\xaf",          // overlong
      "\xc1\xbf",          // overlong
      "\xe0\x80\xaf",      // overlong
      "\xe0\x9f\xbf",      // overlong
      "\xf0\x80\x80\xaf",  // overlong
      "\xf0\x8f\xbf\xbf",  // overlong
      "\xed\xa0\x80",      // surrogate
      "\xed\xbf\xbf",      // surrogate
      "\xf4\x90\x80\x80",  // above U+10FFFF
      "\xf5\x80\x80\x80",  // above U+10FFFF
      "\xff",              //
      "\xe2\x82",          // cut
      "\xe2(\xa1",         // wrong second byte
  };
  for (const std::string_view text : bad) {
    EXPECT_FALSE(is_valid_utf8(text));
    EXPECT_EQ(find_invalid_utf8("0123456789" + std::string(text)), 10U);
    EXPECT_TRUE(is_valid_utf8(replace_invalid_utf8(text)));
  }
}

TEST(Utf8, FindsTheFirstBadByteAtEveryAlignment) {
  for (size_t at = 0; at < 40; ++at) {
    std::string text(40, 'a');
    EXPECT_EQ(find_invalid_utf8(text), 40U);
    text[at] = '\xff';
    EXPECT_EQ(find_invalid_utf8(text), at);
  }
}

TEST(Utf8, ReplacesMaximalSubpartsAsPythonDoes) {
  EXPECT_EQ(replace_invalid_utf8("a\xffz"), "a\xef\xbf\xbdz");
  // Unicode 15 table 3-8: three subparts in C0 AF, E0 80 BF is three, F0 80 80 41 is three and A.
  const std::string r = "\xef\xbf\xbd";
  EXPECT_EQ(replace_invalid_utf8("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(replace_invalid_utf8("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(replace_invalid_utf8("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41"), r + r + r + r + "A");
  EXPECT_EQ(replace_invalid_utf8("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42"),
            r + r + r + r + r + "A" + r + r + "B");
}

TEST(Utf8, AStreamShowsOnlyWholeCharacters) {
  const std::string text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
  const size_t whole[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};
  for (size_t n = 0; n <= text.size(); ++n)
    EXPECT_EQ(complete_utf8_prefix(std::string_view(text).substr(0, n)), whole[n]);
}

TEST(Utf8, AStreamDoesNotWaitForWhatCannotBecomeValid) {
  EXPECT_EQ(complete_utf8_prefix("a\x80\x80"), 3U);
  EXPECT_EQ(complete_utf8_prefix("a\xff"), 2U);
  EXPECT_EQ(complete_utf8_prefix("a\xed\xa0"), 3U);
  EXPECT_EQ(complete_utf8_prefix("a\xe2\x28"), 3U);
}

TEST(QuotedName, IsFitForOneLineOfText) {
  EXPECT_EQ(quoted_name("a.weight"), "\"a.weight\"");
  EXPECT_EQ(quoted_name("a\n\x1b[31m\xff"), "\"a??[31m\xef\xbf\xbd\"");
  EXPECT_EQ(quoted_name("\xe2\x82\xac\xe2\x82\xac", 4), "\"\xe2\x82\xac...\"");
  EXPECT_LT(quoted_name(std::string(5000, 'x')).size(), 210U);
}

}  // namespace
}  // namespace mach
