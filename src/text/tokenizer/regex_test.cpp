#include "text/tokenizer/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mach/error.h"

#include "support/expect_error.h"
#include "text/tokenizer/oniguruma_pattern.h"
#include "text/tokenizer/regex_matches.h"

namespace mach {
namespace {

std::vector<std::string> matches(std::string_view pattern, std::string_view text) {
  const Regex regex(pattern, "test");
  RegexScratch scratch;
  std::vector<std::string> found;
  for_each_match(regex, text, scratch,
                 [&](RegexMatch m) { found.emplace_back(text.substr(m.begin, m.end - m.begin)); });
  return found;
}

using List = std::vector<std::string>;

TEST(Regex, SpaceIsUnicodeWhiteSpace) {
  EXPECT_EQ(matches("\\s", "a\u00a0b\u3000c\u180ed\u200be"), (List{"\u00a0", "\u3000"}));
  EXPECT_EQ(matches("[\\s]+", " \u0085\u2028x"), (List{" \u0085\u2028"}));
  EXPECT_EQ(matches("\\S+", "a\u180eb c"), (List{"a\u180eb", "c"}));
  EXPECT_EQ(matches("[^\\S\\n]+", "a \n\tb"), (List{" ", "\t"}));
}

TEST(Regex, WordDiffersInsideAndOutsideOfAClass) {
  EXPECT_EQ(matches("\\w+", "x²½é_٣-"), (List{"x²½é_٣"}));
  EXPECT_EQ(matches("[\\w]+", "x²½é"), (List{"x", "é"}));
  EXPECT_EQ(matches("[\\W]+", "x²½é"), (List{"²½"}));
}

TEST(Regex, OnigurumaMeansItsOwnThings) {
  EXPECT_EQ(matches("\\h+", "xyzBEEF09g"), (List{"BEEF09"}));  // hexadecimal digits, not blanks
  EXPECT_EQ(matches("(?m:a.b)", "a\nb"), (List{"a\nb"}));      // m: dot matches newline
  EXPECT_EQ(matches("a.b", "a\nb"), (List{}));
  EXPECT_EQ(matches("^b$", "a\nb\nc"), (List{"b"}));  // lines always
  EXPECT_EQ(matches("[a-f&&[^cd]]+", "abcdef"), (List{"ab", "ef"}));
  EXPECT_EQ(matches("[^a&&b]", "ab"), (List{"a", "b"}));
  EXPECT_EQ(matches("[a[x-z]]+", "axzb"), (List{"axz"}));
  EXPECT_EQ(matches("a{2}+", "aaaaa"), (List{"aaaa"}));  // (a{2})+, not possessive
  EXPECT_EQ(matches("a{,2}b", "aaab"), (List{"aab"}));
  EXPECT_EQ(matches("a(?i)b|c", "aB aC ac c"),
            (List{"aB", "aC", "ac"}));  // the option takes the alternative along
  EXPECT_EQ(matches("\\p{^L}+", "a12b"), (List{"12"}));
  EXPECT_EQ(matches("[[:punct:]]+", "a+.b"), (List{"+."}));
  EXPECT_EQ(matches("\\p{Punct}+", "a+.b"), (List{"."}));
  EXPECT_EQ(matches("\\p{Han}+", "a漢字、b"), (List{"漢字"}));  // by Script, not Script_Extensions
  EXPECT_EQ(matches("[\\[\\]]+|a{x}", "[]a{x}"), (List{"[]", "a{x}"}));
  EXPECT_EQ(matches("\\v|\\x{e9}|\\u00e8", "\x0b\u00e9\u00e8\n"), (List{"\x0b", "é", "è"}));
}

TEST(Regex, EmptyMatchesDoNotFollowAnotherMatch) {
  EXPECT_EQ(matches("x*", "xxa"), (List{"xx", ""}));  // at 0, and after the a; not at 2, where "xx" ended
  EXPECT_EQ(matches("\\b", "ab"), (List{"", ""}));
  EXPECT_EQ(matches("", "é"), (List{"", ""}));
}

struct Refused {
  const char* pattern;
  const char* message;
};

class RefusedPattern : public ::testing::TestWithParam<Refused> {};

TEST_P(RefusedPattern, IsUnsupportedWithItsPlace) {
  EXPECT_MACH_ERROR(
      Regex(GetParam().pattern, "file: field"), ErrorCode::kUnsupported,
      ::testing::AllOf(::testing::HasSubstr("file: field"), ::testing::HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(All, RefusedPattern,
                         ::testing::Values(Refused{"a\\Kb", "\\K"}, Refused{"(a)\\1", "\\1"},
                                           Refused{"(?R)", "group"}, Refused{"(?x: a)", "group"},
                                           Refused{"(*FAIL)", "quantifier"}, Refused{"a)", "unmatched"},
                                           Refused{"(a", "unclosed group"}, Refused{"[a", "unclosed class"},
                                           Refused{"[]", "empty class"}, Refused{"[^]", "empty class"},
                                           Refused{"a{2000}", "repeat count"}, Refused{"[z-a]", "backwards"},
                                           Refused{"\\p{Nonsense}", "Nonsense"},
                                           Refused{"\\p{L", "name in braces"}, Refused{"a**", "quantifier"},
                                           Refused{"\\", "backslash"}, Refused{"\\x{110000}", "code point"},
                                           Refused{"\\xe9", "byte above"}, Refused{"\\R", "\\R"},
                                           Refused{"\\C", "\\C"},
                                           Refused{"(?:(?:a{900}){900}){900}", "not usable"}));

TEST(Regex, DeepNestingIsRefused) {
  const std::string groups = std::string(1000, '(') + "a" + std::string(1000, ')');
  EXPECT_MACH_ERROR(Regex(groups, "x"), ErrorCode::kUnsupported, ::testing::HasSubstr("nesting"));
  const std::string classes = std::string(1000, '[') + "a" + std::string(1000, ']');
  EXPECT_MACH_ERROR(Regex(classes, "x"), ErrorCode::kUnsupported, ::testing::HasSubstr("nesting"));
  EXPECT_MACH_ERROR(Regex(std::string(100'000, 'a'), "x"), ErrorCode::kUnsupported,
                    ::testing::HasSubstr("this long"));
}

TEST(Regex, ExplosivePatternGivesUp) {
  const Regex regex("(?:a|aa)+[bc]", "file: field");
  RegexScratch scratch;
  EXPECT_MACH_ERROR((void)regex.search(std::string(5000, 'a'), 0, scratch), ErrorCode::kInvalidRequest,
                    ::testing::HasSubstr("gives up"));
}

}  // namespace
}  // namespace mach
