#include "text/tokenizer/unicode_forms.h"

#include <chrono>

#include <gtest/gtest.h>

#include "text/tokenizer/characters.h"

namespace mach {
namespace {

std::string normalized(std::string_view text, UnicodeForm form) {
  std::string out = "stale";
  return normalize_unicode(text, form, out) ? out : std::string(text);
}

struct Row {
  const char *text, *nfc, *nfd, *nfkc, *nfkd;
};

// UAX #15, figures 3 to 6 and table 4.
constexpr Row kRows[] = {
    {"plain", "plain", "plain", "plain", "plain"},
    {"\u00c5", "\u00c5", "A\u030a", "\u00c5", "A\u030a"},
    {"\u212b", "\u00c5", "A\u030a", "\u00c5", "A\u030a"},
    {"xA\u030ay", "x\u00c5y", "xA\u030ay", "x\u00c5y", "xA\u030ay"},
    {"\ufb01", "\ufb01", "\ufb01", "fi", "fi"},
    {"2\u2075", "2\u2075", "2\u2075", "25", "25"},
    {"\u1e9b\u0323", "\u1e9b\u0323", "\u017f\u0323\u0307", "\u1e69", "s\u0323\u0307"},
    {"d\u0307\u0323", "\u1e0d\u0307", "d\u0323\u0307", "\u1e0d\u0307", "d\u0323\u0307"},
    {"\u1112\u1161\u11ab", "\ud55c", "\u1112\u1161\u11ab", "\ud55c", "\u1112\u1161\u11ab"},
    {"\ud55c", "\ud55c", "\u1112\u1161\u11ab", "\ud55c", "\u1112\u1161\u11ab"},
    {"漢A\u0301字", "漢\u00c1字", "漢A\u0301字", "漢\u00c1字", "漢A\u0301字"},
    {"\u0958", "\u0915\u093c", "\u0915\u093c", "\u0915\u093c", "\u0915\u093c"},  // excluded from composition
    {"\u0301a\u0301", "\u0301\u00e1", "\u0301a\u0301", "\u0301\u00e1", "\u0301a\u0301"},
    {"\U0001d15e", "\U0001d157\U0001d165", "\U0001d157\U0001d165", "\U0001d157\U0001d165",
     "\U0001d157\U0001d165"},
};

TEST(UnicodeForms, FollowTheStandardsExamples) {
  for (const Row& row : kRows) {
    EXPECT_EQ(normalized(row.text, UnicodeForm::kNfc), row.nfc);
    EXPECT_EQ(normalized(row.text, UnicodeForm::kNfd), row.nfd);
    EXPECT_EQ(normalized(row.text, UnicodeForm::kNfkc), row.nfkc);
    EXPECT_EQ(normalized(row.text, UnicodeForm::kNfkd), row.nfkd);
  }
}

TEST(UnicodeForms, PlainTextIsLeftAlone) {
  std::string out = "untouched";
  EXPECT_FALSE(normalize_unicode("ASCII, Grüße, 漢字", UnicodeForm::kNfc, out));
  EXPECT_EQ(out, "untouched");
}

// Marks in the worst order for a canonical ordering by swaps.
TEST(UnicodeForms, LongRunsOfMarksTakeNoQuadraticTime) {
  std::string text = "a";
  for (int i = 0; i < 300'000; ++i) text += i % 2 == 0 ? "\u0301" : "\u0323";
  const auto start = std::chrono::steady_clock::now();
  const std::string composed = normalized(text, UnicodeForm::kNfc);
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 10.0);
  EXPECT_TRUE(
      composed.starts_with("\u1ea1\u0323"));  // a with dot below, then the other dots, then the accents
}

TEST(Characters, ClassesMatchUnicode) {
  EXPECT_TRUE(is_white_space(0x3000) && is_white_space('\v') && !is_white_space(0x180e) &&
              !is_white_space(0x200b));
  EXPECT_TRUE(is_word_character(U'é') && is_word_character(0x24b6) && is_word_character(0x200d) &&
              is_word_character('_'));
  EXPECT_FALSE(is_word_character(U'²') || is_word_character('-') || is_word_character(0x3000));
  EXPECT_EQ(leading_white_space(" \u3000x "), 4U);
  EXPECT_EQ(trailing_white_space(" x\u00a0\n"), 3U);
  EXPECT_EQ(trailing_white_space("  "), 2U);
}

}  // namespace
}  // namespace mach
