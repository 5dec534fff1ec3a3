#include "text/grammar/ebnf.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mach/error.h"

#include "text/grammar/grammar_test_support.h"

namespace mach::grammar {
namespace {

struct Case {
  const char* name;
  const char* grammar;
  std::vector<std::string> accepted, refused;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> kCases = {
      {"literal", R"(root ::= "hello")", {"hello"}, {"", "hell", "hello ", "Hello"}},
      {"escapes", R"(root ::= "\"\\\n\t\x41\u00e9\U0001F600")", {"\"\\\n\tA\u00e9\U0001F600"}, {"\"\\n"}},
      {"empty_rule", "root ::= \"a\" rest\nrest ::=\n", {"a"}, {"", "aa"}},
      {"alternatives", R"(root ::= "a" | "bc" | )", {"a", "bc", ""}, {"b", "abc"}},
      {"repetitions", R"(root ::= "a"* "b"+ "c"?)", {"b", "aabbc", "bc"}, {"", "a", "ac", "bcc"}},
      {"counts",
       R"(root ::= "a"{2} "b"{1,3} "c"{0,1} "d"{2,})",
       {"aabdd", "aabbbcddddd"},
       {"abdd", "aadd", "aabbbbdd", "aabccdd", "aabd"}},
      {"groups", R"(root ::= ("a" | "b" ("c" | "d")){2})", {"aa", "abc", "bdbc"}, {"a", "bb", "bcd"}},
      {"classes",
       "root ::= [a-c\\]\\-x] [^0-9\\n] . [-z]",
       {"a---", "]yz-", "x\u00e9\u00fcz"},
       {"d---", "a1--", "a\n--", "a--y"}},
      {"unicode_class",
       "root ::= [\u0430-\u044f]+ [^\\u0000-\\U0000ffff]?",
       {"\u0431\u044f", "\u0430\U0001F600"},
       {"b", "\u0431\u0410", "\u0431\uffff"}},
      {"comments",
       "# first\nroot ::= # here\n  \"a\" # there\n  | b # \"x\"\nb ::= \"b\" # last",
       {"a", "b"},
       {"ab", "x"}},
      {"recursion", R"x(root ::= "(" root ")" | "x")x", {"x", "((x))"}, {"((x)", "()", "(x))"}},
      {"mutual_recursion",
       "root ::= list\nlist ::= \"[\" (item (\",\" item)*)? \"]\"\nitem ::= list | [a-z]",
       {"[]", "[a,[b,[]],c]"},
       {"[", "[a,]", "[a]]"}},
      {"ambiguous", "root ::= word* word\nword ::= [a-z]+ \" \"?", {"a", "abc de f"}, {"", " a", "a  b"}},
      {"right_recursion", "root ::= [ab] root | [ab]", {"a", "abababababababab"}, {"", "c"}},
      {"nullable_rules",
       "root ::= a a b \"x\"\na ::= \"a\"?\nb ::= a \"b\"*",
       {"x", "aaabbx"},
       {"aaaax", "b"}},
      {"dashes_in_names",
       "root ::= my-rule-1 my_rule\nmy-rule-1 ::= \"-\"\nmy_rule ::= \"_\"",
       {"-_"},
       {"--"}},
  };
  return kCases;
}

class EbnfCases : public ::testing::TestWithParam<Case> {};

TEST_P(EbnfCases, AcceptsExactlyItsTexts) {
  const GrammarMatcher matcher = testing::matcher_of(parse_ebnf(GetParam().grammar));
  for (const std::string& text : GetParam().accepted) EXPECT_TRUE(testing::accepts(matcher, text)) << text;
  for (const std::string& text : GetParam().refused) EXPECT_FALSE(testing::accepts(matcher, text)) << text;
}

INSTANTIATE_TEST_SUITE_P(All, EbnfCases, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Ebnf, CountsBeyondUnrollingHold) {
  const GrammarMatcher matcher = testing::matcher_of(parse_ebnf("root ::= \"<\" [a-z]{3,5000} \">\""));
  for (const size_t n : {2U, 3U, 4999U, 5000U, 5001U}) {
    EXPECT_EQ(testing::accepts(matcher, "<" + std::string(n, 'q') + ">"), n >= 3 && n <= 5000) << n;
  }
  const GrammarMatcher open = testing::matcher_of(parse_ebnf("root ::= ([0-9] \",\"?){300,}"));
  for (const size_t n : {299U, 300U, 1000U})
    EXPECT_EQ(testing::accepts(open, std::string(n, '7')), n >= 300) << n;
}

TEST(Ebnf, NestingEndsAtTheStackLimit) {
  const GrammarMatcher matcher =
      testing::matcher_of(parse_ebnf("root ::= value\nvalue ::= \"[\" value \"]\" | \"1\""));
  const auto nested = [](size_t n) { return std::string(n, '[') + "1" + std::string(n, ']'); };
  EXPECT_TRUE(testing::accepts(matcher, nested(kMaxStackDepth - 1)));
  EXPECT_FALSE(testing::accepts(matcher, nested(kMaxStackDepth + 1)));
}

struct Refusal {
  const char* grammar;
  const char* message;
};

TEST(Ebnf, RefusesWithThePlaceInTheText) {
  const std::vector<Refusal> refusals = {
      {"", "no rule \"root\""},
      {"a ::= \"x\"", "no rule \"root\""},
      {"root ::= b", "line 1, column 10: rule \"b\" is not defined"},
      {"root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: rule \"root\" is defined twice"},
      {"root = \"a\"", "line 1, column 6: expected ::="},
      {"root ::= \"a", "line 1, column 12: expected \""},
      {"root ::= \"a\n\"", "line 1, column 12: expected \""},
      {"root ::= [a-", "expected ]"},
      {"root ::= []", "a class without characters"},
      {"root ::= [z-a]", "ends reversed"},
      {"root ::= (\"a\"", "expected )"},
      {"root ::= \"a\")", "line 1, column 13: expected an item"},
      {"root ::= \"a\"{3,1}", "limits reversed"},
      {"root ::= \"a\"{99999999}", "more than 10000000 repetitions"},
      {"root ::= *", "line 1, column 10"},
      {"root ::= \"\\q\"", "unknown escape"},
      {"root ::= \"\\ud800\"", "no character"},
      {"root ::= \"\xff\"", "not UTF-8"},
  };
  for (const Refusal& r : refusals) {
    try {
      parse_ebnf(r.grammar);
      ADD_FAILURE() << "accepted: " << r.grammar;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidRequest);
      EXPECT_NE(std::string(e.what()).find(r.message), std::string::npos) << r.grammar << ": " << e.what();
    }
  }
}

TEST(Ebnf, RefusesWhatCannotBecomeAnAutomaton) {
  const std::vector<Refusal> refusals = {
      {"root ::= root \"a\" | \"a\"", "left-recursive"},
      {"root ::= a\na ::= b? c\nb ::= \"b\"\nc ::= a \"x\"", "left-recursive"},
      {"root ::= ws root | \"a\"\nws ::= \" \"?", "left-recursive"},
      {"root ::= \"a\" root", "no text can match"},
      {"root ::= (\"a\"?){1000}", "may be empty cannot be repeated 1000 times"},
      {"root ::= [ab]* [a] [ab]{20}", "too complex"},
  };
  for (const Refusal& r : refusals) {
    try {
      Automaton::compile(parse_ebnf(r.grammar));
      ADD_FAILURE() << "accepted: " << r.grammar;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidRequest);
      EXPECT_NE(std::string(e.what()).find(r.message), std::string::npos) << r.grammar << ": " << e.what();
    }
  }
}

}  // namespace
}  // namespace mach::grammar
