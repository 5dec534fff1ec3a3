// Hostile and broken tokenizer.json files: each is refused with one line that names the field.
#include "text/tokenizer/tokenizer_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mach/error.h"

#include "support/expect_error.h"
#include "text/tokenizer/test_support.h"

namespace mach {
namespace {

using testing::added_token;
using ::testing::AllOf;
using testing::bpe_json;
using ::testing::HasSubstr;
using testing::make_tokenizer;

nlohmann::json good() { return bpe_json({"a", "b", "ab"}, {"a b"}); }

struct Broken {
  const char* pointer;  // JSON pointer of the field
  const char* value;    // JSON; "" removes the field
  ErrorCode code;
  const char* message;
};

class BrokenField : public ::testing::TestWithParam<Broken> {};

TEST_P(BrokenField, IsRefusedByName) {
  const Broken& row = GetParam();
  nlohmann::json json = good();
  const nlohmann::json::json_pointer pointer(row.pointer);
  if (*row.value == '\0') {
    json.at(pointer.parent_pointer()).erase(pointer.back());
  } else {
    json[pointer] = nlohmann::json::parse(row.value);
  }
  EXPECT_MACH_ERROR(make_tokenizer(json), row.code, AllOf(HasSubstr("test.json"), HasSubstr(row.message)));
}

constexpr auto kCorrupt = ErrorCode::kCorruptFile;
constexpr auto kUnsupported = ErrorCode::kUnsupported;

INSTANTIATE_TEST_SUITE_P(
    All, BrokenField,
    ::testing::Values(
        Broken{"/model", "", kCorrupt, "model"}, Broken{"/model", "3", kCorrupt, "model"},
        Broken{"/model/vocab", "", kCorrupt, "vocab"}, Broken{"/model/vocab", "[]", kCorrupt, "vocab"},
        Broken{"/model/merges", "", kCorrupt, "merges"}, Broken{"/model/merges", "{}", kCorrupt, "merges"},
        Broken{"/model/type", "\"Unigram\"", kUnsupported, "Unigram"},
        Broken{"/model/type", "\"WordPiece\"", kUnsupported, "WordPiece"},
        Broken{"/model/type", "7", kCorrupt, "type"},
        Broken{"/model/dropout", "0.1", kUnsupported, "dropout"},
        Broken{"/model/ignore_merges", "\"yes\"", kCorrupt, "ignore_merges"},
        Broken{"/model/unk_token", "3", kCorrupt, "unk_token"},
        Broken{"/model/vocab/a", "-1", kCorrupt, "id -1"},
        Broken{"/model/vocab/a", "4194304", kCorrupt, "4194304"},
        Broken{"/model/vocab/a", "18446744073709551615", kCorrupt, "model.vocab"},
        Broken{"/model/vocab/a", "1.5", kCorrupt, "1.5"},
        Broken{"/model/vocab/a", "\"0\"", kCorrupt, "model.vocab"},
        Broken{"/model/vocab/a", "1", kCorrupt, "both have id 1"},
        Broken{"/model/merges/0", "\"a z\"", kCorrupt, "merge 0 needs token \"z\""},
        Broken{"/model/merges/0", "\"b a\"", kCorrupt, "merge 0 needs token \"ba\""},
        Broken{"/model/merges/0", "\"ab\"", kCorrupt, "merge 0"},
        Broken{"/model/merges/0", "\"a b c\"", kCorrupt, "merge 0"},
        Broken{"/model/merges/0", "[\"a\"]", kCorrupt, "merge 0"},
        Broken{"/model/merges/0", "[\"a\", \"b\", \"c\"]", kCorrupt, "merge 0"},
        Broken{"/model/merges/0", "[\"a\", 3]", kCorrupt, "model.merges"},
        Broken{"/model/merges/0", "5", kCorrupt, "model.merges"},
        Broken{"/model/continuing_subword_prefix", "\"##\"", kCorrupt, "continuing_subword_prefix"},
        Broken{"/added_tokens", "{}", kCorrupt, "added_tokens"},
        Broken{"/added_tokens", "[3]", kCorrupt, "added_tokens"},
        Broken{"/added_tokens", R"([{"content": "x"}])", kCorrupt, "no id"},
        Broken{"/added_tokens", R"([{"id": -4, "content": "x"}])", kCorrupt, "-4"},
        Broken{"/added_tokens", R"([{"id": 4, "content": 4}])", kCorrupt, "added_tokens"},
        Broken{"/added_tokens", R"([{"id": 1, "content": "x"}])", kCorrupt,
               "which model.vocab gives to \"b\""},
        Broken{"/added_tokens", R"([{"id": 5, "content": "x"}, {"id": 5, "content": "y"}])", kCorrupt,
               "both have id 5"},
        Broken{"/added_tokens", R"([{"id": 5, "content": "x"}, {"id": 6, "content": "x"}])", kCorrupt,
               "occurs twice"},
        Broken{"/added_tokens", R"([{"id": 5, "content": "x", "special": 1}])", kCorrupt, "added_tokens"},
        Broken{"/normalizer", "3", kCorrupt, "normalizer"}, Broken{"/normalizer", "{}", kCorrupt, "type"},
        Broken{"/normalizer", R"({"type": "Precompiled"})", kUnsupported, "Precompiled"},
        Broken{"/normalizer", R"({"type": "Sequence", "normalizers": [{"type": "Nmt"}]})", kUnsupported,
               "normalizer.normalizers[0]"},
        Broken{"/normalizer", R"({"type": "Replace", "pattern": {"String": ""}, "content": ""})",
               kUnsupported, "pattern"},
        Broken{"/normalizer", R"({"type": "Replace", "pattern": 7, "content": ""})", kCorrupt, "pattern"},
        Broken{"/normalizer", R"({"type": "Strip"})", kCorrupt, "strip_left"},
        Broken{"/pre_tokenizer", R"({"type": "BertPreTokenizer"})", kUnsupported, "BertPreTokenizer"},
        Broken{"/pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated"})",
               kUnsupported, "unclosed group"},
        Broken{"/pre_tokenizer",
               R"({"type": "Split", "pattern": {"Regex": "a\\Kb"}, "behavior": "Isolated"})", kUnsupported,
               "\\K"},
        Broken{"/pre_tokenizer", R"({"type": "Split", "pattern": {"String": "a"}, "behavior": "Odd"})",
               kUnsupported, "Odd"},
        Broken{"/pre_tokenizer", R"({"type": "Metaspace", "replacement": "ab"})", kCorrupt, "replacement"},
        Broken{"/pre_tokenizer", R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "often"})",
               kUnsupported, "often"},
        Broken{
            "/pre_tokenizer",
            R"({"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": false}, {"type": "WhitespaceSplit"}]})",
            kUnsupported, "pretokenizers[1]"},
        Broken{"/decoder", R"({"type": "WordPiece"})", kUnsupported, "WordPiece"},
        Broken{"/decoder", R"({"type": "Strip", "content": "", "start": 1, "stop": 0})", kCorrupt, "content"},
        Broken{"/decoder", R"({"type": "Strip", "content": " ", "start": -1, "stop": 0})", kCorrupt, "start"},
        Broken{"/decoder",
               R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteFallback"}]})",
               kUnsupported, "decoders[1]"},
        Broken{"/post_processor", R"({"type": "RobertaProcessing"})", kUnsupported, "RobertaProcessing"},
        Broken{"/post_processor", R"({"type": "TemplateProcessing", "single": [], "special_tokens": {}})",
               kUnsupported, "single"},
        Broken{
            "/post_processor",
            R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}, {"Sequence": {"id": "A"}}], "special_tokens": {"x": {"ids": [99]}}})",
            kCorrupt, "ids"},
        Broken{
            "/post_processor",
            R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}, {"Sequence": {"id": "A"}}], "special_tokens": {}})",
            kCorrupt, "'x'"}));

TEST(TokenizerJson, BrokenJsonIsCorrupt) {
  for (const char* text :
       {"", "{", "[]", "null", "3", "{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": [", "{\"a\"}", "\xff"}) {
    SCOPED_TRACE(text);
    EXPECT_MACH_ERROR(Tokenizer::parse(text, "test.json"), ErrorCode::kCorruptFile, HasSubstr("test.json"));
  }
}

TEST(TokenizerJson, TheSameTokenTwiceIsCorrupt) {
  EXPECT_MACH_ERROR(
      Tokenizer::parse(R"({"model": {"type": "BPE", "vocab": {"a": 0, "a": 1}, "merges": []}})", "test.json"),
      ErrorCode::kCorruptFile, HasSubstr("\"a\" occurs twice"));
}

TEST(TokenizerJson, DeepNestingIsRefused) {
  nlohmann::json normalizer = {{"type", "NFC"}};
  for (int i = 0; i < 20; ++i) normalizer = {{"type", "Sequence"}, {"normalizers", {normalizer}}};
  nlohmann::json json = good();
  json["normalizer"] = normalizer;
  EXPECT_MACH_ERROR(make_tokenizer(json), ErrorCode::kUnsupported, HasSubstr("nest deeper"));
  const std::string arrays = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_MACH_ERROR(Tokenizer::parse(R"({"normalizer": )" + arrays + "}", "test.json"),
                    ErrorCode::kCorruptFile, HasSubstr("test.json"));
}

TEST(TokenizerJson, MergesMayStandBeforeTheVocabulary) {
  const Tokenizer t = Tokenizer::parse(
      R"({"model": {"merges": ["#version: 0.2", "a b"], "vocab": {"a": 0, "b": 1, "ab": 2}}, "decoder": null})",
      "test.json");
  EXPECT_THAT(t.encode("ab"), ::testing::ElementsAre(2));
}

TEST(TokenizerJson, AddedTokenOfTheVocabularyKeepsTheVocabularysId) {
  nlohmann::json json = good();
  json["added_tokens"] = {added_token(77, "ab"), added_token(9, "")};
  EXPECT_EQ(make_tokenizer(json).token_to_id("ab"), 2);
  EXPECT_EQ(make_tokenizer(json).vocab_size(), 3U);
}

TEST(TokenizerJson, ManyMergesKeepTheirRanks) {
  // More merges than are resolved at once, in both orders of the ids they make.
  std::vector<std::string> vocabulary = {"a"};
  std::vector<std::string> merges;
  for (size_t length = 2; length <= 200; ++length) {
    vocabulary.emplace_back(length, 'a');
    merges.push_back(std::string(length - 1, 'a') + " a");
  }
  std::reverse(vocabulary.begin() + 1, vocabulary.end());
  const Tokenizer t = make_tokenizer(bpe_json(vocabulary, merges));
  // "a a" has the lowest rank, so pairs form first, and no merge joins two pairs.
  EXPECT_EQ(t.encode(std::string(200, 'a')), std::vector<TokenId>(100, t.token_to_id("aa").value()));
  EXPECT_THAT(t.encode("aaa"), ::testing::ElementsAre(t.token_to_id("aaa").value()));
}

}  // namespace
}  // namespace mach
