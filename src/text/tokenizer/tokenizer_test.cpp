#include "text/tokenizer/tokenizer.h"

#include <atomic>
#include <chrono>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mach/error.h"

#include "support/expect_error.h"
#include "text/tokenizer/test_support.h"

namespace mach {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Ids = std::vector<TokenId>;
using testing::added_token;
using testing::bpe_json;
using testing::make_tokenizer;

EncodeOptions bare() {
  EncodeOptions options;
  options.add_special_tokens = false;
  return options;
}

TEST(Tokenizer, MergesByRankLeftmostFirst) {
  const Tokenizer t = make_tokenizer(bpe_json({"a", "b", "aa", "ab", "aab"}, {"a a", "a b", "aa b"}));
  EXPECT_THAT(t.encode("aab"), ElementsAre(4));
  EXPECT_THAT(t.encode("aaa"), ElementsAre(2, 0));   // the left pair, not the right one
  EXPECT_THAT(t.encode("aaab"), ElementsAre(2, 3));  // "a a" at 0, then at 1 is gone; "a b" remains
  EXPECT_THAT(t.encode(""), IsEmpty());
}

TEST(Tokenizer, BothFormsOfMergesAreRead) {
  nlohmann::json json = bpe_json({"a", " b", "a b"}, {});
  json["model"]["merges"] = nlohmann::json::parse(R"([[" ", "b"], ["a", " b"]])");
  json["model"]["vocab"].update({{" ", 3}, {"b", 4}});
  EXPECT_THAT(make_tokenizer(json).encode("a b"), ElementsAre(2));
}

TEST(Tokenizer, IgnoreMergesTakesAWholePieceFromTheVocabulary) {
  nlohmann::json json = bpe_json({"a", "b", "abab"}, {});
  EXPECT_THAT(make_tokenizer(json).encode("abab"), ElementsAre(0, 1, 0, 1));
  json["model"]["ignore_merges"] = true;
  EXPECT_THAT(make_tokenizer(json).encode("abab"), ElementsAre(2));
}

TEST(Tokenizer, UnknownCharactersBecomeBytesOrUnkOrVanish) {
  nlohmann::json json = bpe_json({"a", "<unk>", "<0xC3>", "<0xA9>"}, {});
  EXPECT_THAT(make_tokenizer(json).encode("aéèa"), ElementsAre(0, 0));
  json["model"]["unk_token"] = "<unk>";
  EXPECT_THAT(make_tokenizer(json).encode("aéèa"), ElementsAre(0, 1, 1, 0));
  json["model"]["fuse_unk"] = true;
  EXPECT_THAT(make_tokenizer(json).encode("aéèa"), ElementsAre(0, 1, 0));
  json["model"]["byte_fallback"] = true;  // è is C3 A8, and there is no <0xA8>
  EXPECT_THAT(make_tokenizer(json).encode("aéèa"), ElementsAre(0, 2, 3, 1, 0));
}

TEST(Tokenizer, PrefixAndSuffixMarkThePlaceInAWord) {
  nlohmann::json json = bpe_json({"a", "##b", "##c</w>", "ab", "abc</w>", "a</w>"}, {"a ##b", "ab ##c</w>"});
  json["model"]["continuing_subword_prefix"] = "##";
  json["model"]["end_of_word_suffix"] = "</w>";
  json["pre_tokenizer"] = {{"type", "WhitespaceSplit"}};
  EXPECT_THAT(make_tokenizer(json).encode("abc a"), ElementsAre(4, 5));
}

TEST(Tokenizer, SpecialTextIsParsedOnlyWhenAsked) {
  nlohmann::json json = bpe_json({"<", "s", ">", "t"}, {});
  json["added_tokens"] = {added_token(4, "<s>", {{"special", true}}), added_token(5, "<t>")};
  const Tokenizer t = make_tokenizer(json);
  EXPECT_THAT(t.encode("<s><t>"), ElementsAre(4, 5));
  EncodeOptions options;
  options.parse_special = false;
  EXPECT_THAT(t.encode("<s><t>", options), ElementsAre(0, 1, 2, 5));
  options.parse_added = false;
  EXPECT_THAT(t.encode("<s><t>", options), ElementsAre(0, 1, 2, 0, 3, 2));
  options.parse_special = true;
  EXPECT_THAT(t.encode("<s><t>", options), ElementsAre(4, 0, 3, 2));
  EXPECT_TRUE(t.is_special(4));
  EXPECT_FALSE(t.is_special(5));
  EXPECT_EQ(t.decode(Ids{4, 3, 5}), "t<t>");
  EXPECT_EQ(t.decode(Ids{4, 3, 5}, {false}), "<s>t<t>");
}

TEST(Tokenizer, TemplateAddsBosAndEosWhenAsked) {
  nlohmann::json json = bpe_json({"a", "<s>", "</s>"}, {});
  json["post_processor"] = nlohmann::json::parse(R"({"type": "Sequence", "processors": [
      {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true},
      {"type": "TemplateProcessing",
       "single": [{"SpecialToken": {"id": "B", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                  {"SpecialToken": {"id": "E", "type_id": 0}}],
       "pair": [], "special_tokens": {"B": {"id": "B", "ids": [1], "tokens": ["<s>"]},
                                      "E": {"id": "E", "ids": [2, 2], "tokens": ["</s>", "</s>"]}}}]})");
  const Tokenizer t = make_tokenizer(json);
  EXPECT_THAT(t.encode("a"), ElementsAre(1, 0, 2, 2));
  EXPECT_THAT(t.encode("a", bare()), ElementsAre(0));
  EXPECT_THAT(t.encode(""), ElementsAre(1, 2, 2));
}

TEST(Tokenizer, IllFormedUtf8IsRefusedWithItsPosition) {
  const Tokenizer t = make_tokenizer(bpe_json({"a"}, {}));
  EXPECT_MACH_ERROR(t.encode("aa\xff"), ErrorCode::kInvalidRequest, HasSubstr("byte 2"));
  EXPECT_MACH_ERROR(t.encode("a\xe2\x82"), ErrorCode::kInvalidRequest, HasSubstr("byte 1"));
  EXPECT_MACH_ERROR(t.encode("\xed\xa0\x80"), ErrorCode::kInvalidRequest, HasSubstr("byte 0"));
}

TEST(Tokenizer, TokenBytesAreWhatATokenAddsToTheText) {
  const Tokenizer t = Tokenizer::open(testing::demo_tokenizer());
  const TokenId the = t.token_to_id("Ġthe").value();
  EXPECT_EQ(t.token_bytes(the), " the");
  EXPECT_EQ(t.id_to_token(the), "Ġthe");
  EXPECT_EQ(t.token_bytes(t.token_to_id("<|im_end|>").value()), "<|im_end|>");
  EXPECT_EQ(t.token_bytes(t.token_to_id("Ã").value()), "\xc3");  // half a character
  EXPECT_EQ(t.token_bytes(-1), "");
  EXPECT_EQ(t.token_bytes(1 << 30), "");
  EXPECT_EQ(t.id_to_token(static_cast<TokenId>(t.vocab_size())), std::nullopt);
  EXPECT_EQ(t.token_to_id("no such token"), std::nullopt);
}

TEST(Tokenizer, TokenBytesOfSentencePieceStyle) {
  nlohmann::json json = bpe_json({"▁a", "<0xE2>", "b"}, {});
  json["decoder"] = nlohmann::json::parse(R"({"type": "Sequence", "decoders": [
      {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
      {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})");
  const Tokenizer t = make_tokenizer(json);
  EXPECT_EQ(t.token_bytes(0), " a");
  EXPECT_EQ(t.token_bytes(1), "\xe2");
  EXPECT_EQ(t.decode(Ids{0, 0}), "a a");
}

// The bytes of all ids of a text are the text: what grammar masks rely on.
TEST(Tokenizer, TokenBytesOfAnEncodingSpellTheText) {
  const Tokenizer t = Tokenizer::open(testing::demo_tokenizer());
  const std::string text =
      "Grüße, 世界! 👩‍🚀\n\n\tint main() { return 42; }  <|im_start|>user\r\n";
  std::string spelled;
  for (const TokenId id : t.encode(text)) spelled += t.token_bytes(id);
  EXPECT_EQ(spelled, text);
}

TEST(Tokenizer, AddedTokensOutsideTheVocabularyExtendIt) {
  nlohmann::json json = bpe_json({"a"}, {});
  json["added_tokens"] = {added_token(7, "<x>"), added_token(0, "a", {{"special", true}})};
  const Tokenizer t = make_tokenizer(json);
  EXPECT_EQ(t.vocab_size(), 8U);
  EXPECT_EQ(t.token_to_id("<x>"), 7);
  EXPECT_EQ(t.id_to_token(7), "<x>");
  EXPECT_EQ(t.id_to_token(3), std::nullopt);
  EXPECT_EQ(t.added_tokens().size(), 2U);
  EXPECT_EQ(t.decode(Ids{7, 3, 100, -5}), "<x>");  // ids without a token decode to nothing
}

TEST(Tokenizer, MetaspacePrependsOnlyAtTheStartOfTheInput) {
  nlohmann::json json = bpe_json({"▁", "a", "▁a"}, {"▁ a"});
  json["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "first"}, {"split", true}};
  json["added_tokens"] = nlohmann::json::array({added_token(3, "<x>")});
  const Tokenizer t = make_tokenizer(json);
  EXPECT_THAT(t.encode("a a<x>a"), ElementsAre(2, 2, 3, 1));
  EXPECT_THAT(t.encode("<x>a"), ElementsAre(3, 1));
}

// Twice the text must not cost four times the time. The longest runs here are single words for the model.
TEST(Tokenizer, LongRunsTakeNoQuadraticTime) {
  const Tokenizer t = Tokenizer::open(testing::demo_tokenizer());
  for (const char* unit : {"a", " ", "\n", "é", "\u0301", "ab1 ", "!"}) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    const auto start = std::chrono::steady_clock::now();
    const Ids ids = t.encode(text, bare());
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    EXPECT_GT(ids.size(), 1000U);
    EXPECT_LT(seconds, 20.0)
        << unit;  // quadratic time would be minutes; a busy machine with sanitizers is slow
    EXPECT_EQ(t.decode(ids).size(), text.size()) << unit;
  }
}

TEST(Tokenizer, EncodeFromManyThreadsAgrees) {
  const Tokenizer t = Tokenizer::open(testing::demo_tokenizer());
  std::vector<std::string> texts;
  std::vector<Ids> expected;
  for (int i = 0; i < 50; ++i) {
    texts.push_back("Text number " + std::to_string(i * 7919) + " of many: été, 数字, <|im_end|>\n" +
                    std::string(static_cast<size_t>(i), 'x'));
    expected.push_back(t.encode(texts.back()));
  }
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int n = 0; n < 4; ++n) {
    threads.emplace_back([&, n] {
      for (size_t i = 0; i < 200; ++i) {
        const size_t which = (i * 13 + static_cast<size_t>(n)) % texts.size();
        if (t.encode(texts[which]) != expected[which]) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Tokenizer, MissingFileIsNotFound) {
  EXPECT_MACH_ERROR(Tokenizer::open("/nonexistent/tokenizer.json"), ErrorCode::kNotFound,
                    HasSubstr("/nonexistent"));
}

}  // namespace
}  // namespace mach
