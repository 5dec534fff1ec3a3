#include "text/grammar/matcher.h"

#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "text/grammar/ebnf.h"
#include "text/grammar/grammar_test_support.h"
#include "text/grammar/json_grammar.h"

namespace mach::grammar {
namespace {

using testing::allowed_ids;
using testing::brute_force_mask;
using testing::name_difference;

// All bytes, and tokens that cross the borders of rules in every way.
std::shared_ptr<const TokenVocabulary> small_vocabulary() {
  static const auto vocabulary = [] {
    std::vector<std::string> texts;
    for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
    for (const char* text : {"ab",       "abc",      "abcdefgh",
                             "\"",       "\":",      "\": ",
                             "\",",      "\", \"",   "\"}",
                             "\"}}",     "\"]",      "{\"",
                             "{\"a",     "[\"",      "[[",
                             "]]",       "]}",       "},",
                             "}, {",     ",\n",      ",\n  ",
                             "\n\n",     "    ",     "        ",
                             "true",     "false,",   "null}",
                             "12",       "123",      "1,",
                             "0.5",      "\\n",      "\\\"",
                             "\\u00",    "e9",       "a\"b",
                             "\u00e9",   "\u00e9\"", "\u00e9x\u00e9",
                             "\xF0\x9F", "\x98\x80", "\x98\x80\"",
                             "\xC3",     "\xA9\"",   "((",
                             "))",       ")x",       "(x)",
                             "a b",      " b",       "aaaaaaaaaaaaaaaa",
                             "aaaa\"",   "aaaaa\",", "a\"}"}) {
      texts.emplace_back(text);
    }
    texts.emplace_back("");
    texts.emplace_back("");
    const std::vector<TokenId> stops = {static_cast<TokenId>(texts.size() - 1)};
    return TokenVocabulary::from_texts(texts, stops);
  }();
  return vocabulary;
}

GrammarMatcher small_matcher(const Grammar& grammar) {
  return GrammarMatcher(CompiledGrammar::compile(grammar, small_vocabulary()));
}

// Goes along random allowed tokens, comparing every mask with what accept() says of each token.
void compare_masks(GrammarMatcher matcher, uint32_t seed, size_t steps) {
  std::mt19937 random(seed);
  const TokenVocabulary& vocabulary = matcher.grammar().vocabulary();
  std::vector<uint32_t> mask(vocabulary.mask_words());
  std::string text;
  for (size_t step = 0; step < steps && !matcher.terminated(); ++step) {
    matcher.fill_mask(mask);
    const std::vector<uint32_t> wanted = brute_force_mask(matcher);
    ASSERT_EQ(mask, wanted) << "after '" << text << "':" << name_difference(vocabulary, mask, wanted);
    const std::vector<TokenId> ids = allowed_ids(mask);
    ASSERT_FALSE(ids.empty()) << "no way on after '" << text << "'";
    const TokenId id = ids[random() % ids.size()];
    ASSERT_TRUE(matcher.accept(id));
    text += vocabulary.text(id);
  }
}

const std::vector<std::string>& grammars() {
  static const std::vector<std::string> kGrammars = {
      R"(root ::= "abc" | "ab" [d-h]* "\"")",
      "root ::= item (\", \" item)*\nitem ::= \"(\" root \")\" | [a-zA-Z0-9\u00e9]+ | \"x\"",
      "root ::= \"\\\"\" [^\"\\\\]{2,20} \"\\\"\" [}\\],]",
      "root ::= \"\\\"\" [^\"]{0,500} \"\\\"\" (\"}\" | \", \" root)",
      "root ::= ([a-c]{1,300} | [a-z]{1,200}) \"\\\"\"",
      "root ::= pair{1,40} \"}\"\npair ::= \"(\" [a-z]{0,100} \")\"",
      "root ::= word* \"\\n\\n\"\nword ::= [a-z\u00e9\U0001F600]+ \" \"*",
      "root ::= .{3,70}",
  };
  return kGrammars;
}

TEST(Matcher, MaskIsWhatAcceptSays) {
  for (const std::string& text : grammars()) {
    SCOPED_TRACE(text);
    const GrammarMatcher matcher = small_matcher(parse_ebnf(text));
    for (uint32_t seed = 0; seed < 6; ++seed) compare_masks(matcher, seed, 60);
  }
}

TEST(Matcher, MaskIsWhatAcceptSaysInJson) {
  const GrammarMatcher matcher = small_matcher(json_object_grammar());
  for (uint32_t seed = 0; seed < 20; ++seed) compare_masks(matcher, seed, 120);
}

TEST(Matcher, MaskIsWhatAcceptSaysNearTheStackLimit) {
  GrammarMatcher matcher = small_matcher(json_object_grammar());
  ASSERT_TRUE(matcher.accept_text("{\"a\":"));
  while (matcher.accept_text("[")) compare_masks(matcher, 7, 3);
  EXPECT_FALSE(matcher.accept_text("{"));
  compare_masks(matcher, 8, 40);
}

TEST(Matcher, RollbackReturnsToTheSameMask) {
  std::mt19937 random(3);
  GrammarMatcher matcher = small_matcher(json_object_grammar());
  std::vector<std::vector<uint32_t>> masks;
  std::vector<uint32_t> mask(small_vocabulary()->mask_words());
  while (masks.size() < 200 && !matcher.terminated()) {
    matcher.fill_mask(mask);
    masks.push_back(mask);
    std::vector<TokenId> ids = allowed_ids(mask);
    if (ids.size() > 1) std::erase(ids, small_vocabulary()->stop_ids()[0]);
    ASSERT_TRUE(matcher.accept(ids[random() % ids.size()]));
    if (masks.size() > 10 && random() % 4 == 0) {
      const size_t back = 1 + random() % 10;
      matcher.rollback(back);
      masks.resize(masks.size() - back);
      matcher.fill_mask(mask);
      masks.push_back(mask);
      ASSERT_TRUE(matcher.accept(allowed_ids(mask)[0]));
    }
  }
  while (!masks.empty()) {
    matcher.rollback(1);
    matcher.fill_mask(mask);
    EXPECT_EQ(mask, masks.back()) << masks.size();
    masks.pop_back();
  }
  EXPECT_MACH_ERROR(matcher.rollback(1), ErrorCode::kInternal,
                    ::testing::HasSubstr("cannot take back 1 tokens, 0 are remembered"));
}

TEST(Matcher, RefusedTokenChangesNothing) {
  GrammarMatcher matcher = small_matcher(parse_ebnf(R"(root ::= "ab" "c"?)"));
  EXPECT_FALSE(matcher.accept('b'));
  EXPECT_FALSE(matcher.accept(-1));
  EXPECT_FALSE(matcher.accept(100'000));
  EXPECT_FALSE(matcher.accept(small_vocabulary()->stop_ids()[0]));
  EXPECT_TRUE(matcher.accept('a'));
  EXPECT_FALSE(matcher.accept('a'));
  EXPECT_TRUE(matcher.accept('b'));
  EXPECT_TRUE(matcher.can_stop());
  EXPECT_FALSE(matcher.must_stop());
  EXPECT_TRUE(matcher.accept('c'));
  EXPECT_TRUE(matcher.must_stop());
  EXPECT_TRUE(matcher.accept(small_vocabulary()->stop_ids()[0]));
  EXPECT_TRUE(matcher.terminated());
  EXPECT_FALSE(matcher.accept('c'));
}

TEST(Matcher, CharactersMayBeSplitAcrossTokens) {
  GrammarMatcher matcher = small_matcher(parse_ebnf("root ::= [\U0001F600] \"\\\"\" | [\u00e9]"));
  const auto id_of = [](std::string_view text) {
    for (TokenId id = 256; static_cast<size_t>(id) < small_vocabulary()->size(); ++id) {
      if (small_vocabulary()->text(id) == text) return id;
    }
    return TokenId{-1};
  };
  GrammarMatcher split = matcher;
  EXPECT_TRUE(split.accept(id_of("\xF0\x9F")));
  EXPECT_FALSE(split.accept(id_of("\xC3")));
  EXPECT_TRUE(split.accept(id_of("\x98\x80\"")));
  EXPECT_TRUE(split.must_stop());
  EXPECT_TRUE(matcher.accept(0xC3));
  EXPECT_FALSE(matcher.accept(id_of("\xA9\"")));
  EXPECT_TRUE(matcher.accept(0xA9));
  EXPECT_TRUE(matcher.must_stop());
}

TEST(Matcher, ForcedTextIsWhatEveryTextGoesOnWith) {
  GrammarMatcher matcher =
      small_matcher(parse_ebnf(R"(root ::= "{\"name\": \"" [a-z]+ "\", \"age\": " [0-9]+ "}")"));
  EXPECT_EQ(matcher.forced_text(), "{\"name\": \"");
  ASSERT_TRUE(matcher.accept_text("{\"name\": \"bob"));
  EXPECT_EQ(matcher.forced_text(), "");
  ASSERT_TRUE(matcher.accept_text("\""));
  EXPECT_EQ(matcher.forced_text(), ", \"age\": ");
  EXPECT_EQ(matcher.forced_text(3), ", \"");
  EXPECT_EQ(small_matcher(parse_ebnf("root ::= [\u00e0\u00e1]")).forced_text(), "") << "half a character";
}

TEST(Matcher, CopiesAreIndependent) {
  GrammarMatcher one = small_matcher(json_object_grammar());
  ASSERT_TRUE(one.accept_text("{\"a\": ["));
  GrammarMatcher two = one;
  ASSERT_TRUE(one.accept_text("1]}"));
  ASSERT_TRUE(two.accept_text("{\"b\""));
  EXPECT_TRUE(one.must_stop());
  EXPECT_FALSE(two.can_stop());
  two.rollback(1);
  ASSERT_TRUE(two.accept_text("2, 3]"));
}

TEST(Matcher, LongTextsKeepMemoryBounded) {
  GrammarMatcher matcher = small_matcher(
      parse_ebnf("root ::= \"[\" item{1,1000000} \"]\"\nitem ::= \"(\" item \")\" | [a-z]{1,900} \",\""));
  ASSERT_TRUE(matcher.accept_text("["));
  for (int i = 0; i < 60'000; ++i) ASSERT_TRUE(matcher.accept_text("((b,))"));
  EXPECT_LT(matcher.memory_bytes(), size_t{2} << 20);
  EXPECT_TRUE(matcher.accept_text("]"));
}

TEST(Matcher, CompiledGrammarIsSharedBetweenThreads) {
  const auto grammar = CompiledGrammar::compile(json_object_grammar(), small_vocabulary());
  std::vector<std::thread> threads;
  for (uint32_t seed = 0; seed < 4; ++seed) {
    threads.emplace_back([grammar, seed] { compare_masks(GrammarMatcher(grammar), seed, 60); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(grammar->cached_masks(), 5U);
}

}  // namespace
}  // namespace mach::grammar
