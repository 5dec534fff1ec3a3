#include "text/tokenizer/detokenizer.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/utf8.h"
#include "support/gunzip.h"
#include "text/tokenizer/test_support.h"

namespace mach {
namespace {

using Ids = std::vector<TokenId>;
using testing::bpe_json;
using testing::make_tokenizer;

std::vector<std::string> pushed(const Tokenizer& tokenizer, const Ids& ids) {
  Detokenizer stream(tokenizer);
  std::vector<std::string> parts;
  for (const TokenId id : ids) parts.push_back(stream.push(id));
  parts.push_back(stream.finish());
  return parts;
}

Tokenizer sentencepiece_style() {
  nlohmann::json json = bpe_json({"▁a", "b", "<0xE4>", "<0xBD>", "<0xA0>", "<0xFF>", "▁"}, {});
  json["decoder"] = nlohmann::json::parse(R"({"type": "Sequence", "decoders": [
      {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
      {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})");
  return make_tokenizer(json);
}

TEST(Detokenizer, HoldsBackHalfACharacter) {
  const Tokenizer t = Tokenizer::open(testing::demo_tokenizer());
  Ids bytes;
  for (const char* byte : {"Ã", "©", "x"}) bytes.push_back(t.token_to_id(byte).value());
  EXPECT_THAT(pushed(t, bytes), ::testing::ElementsAre("", "é", "x", ""));
  bytes.resize(1);
  EXPECT_THAT(pushed(t, bytes), ::testing::ElementsAre("", "\uFFFD"));
  bytes.push_back(t.token_to_id("x").value());
  EXPECT_THAT(pushed(t, bytes), ::testing::ElementsAre("", "\uFFFDx", ""));
}

TEST(Detokenizer, HoldsBackARunOfByteTokensUntilItEnds) {
  const Tokenizer t = sentencepiece_style();
  EXPECT_THAT(pushed(t, {1, 2, 3, 4, 1}), ::testing::ElementsAre("b", "", "", "", "你b", ""));
  // One bad byte spoils its whole run, as in the reference.
  EXPECT_THAT(pushed(t, {2, 3, 4, 5, 1}),
              ::testing::ElementsAre("", "", "", "", "\uFFFD\uFFFD\uFFFD\uFFFDb", ""));
  EXPECT_THAT(pushed(t, {2, 3}), ::testing::ElementsAre("", "", "\uFFFD\uFFFD"));
}

TEST(Detokenizer, StripsTheLeadingSpaceOnlyOnce) {
  const Tokenizer t = sentencepiece_style();
  EXPECT_THAT(pushed(t, {0, 0}), ::testing::ElementsAre("a", " a", ""));
  EXPECT_THAT(pushed(t, {6, 6, 0}), ::testing::ElementsAre("", " ", " a", ""));
}

TEST(Detokenizer, HoldsBackWhatLaterTokensCouldChange) {
  nlohmann::json json = bpe_json({"a", "b", " "}, {});
  json["decoder"] = nlohmann::json::parse(R"({"type": "Sequence", "decoders": [{"type": "Fuse"},
      {"type": "Replace", "pattern": {"String": "aab"}, "content": "X"}, {"type": "Strip", "content": " ", "start": 0, "stop": 2}]})");
  const Tokenizer t = make_tokenizer(json);
  EXPECT_THAT(pushed(t, {0, 0, 0, 1}), ::testing::ElementsAre("", "", "a", "X", ""));
  EXPECT_THAT(pushed(t, {1, 2, 2, 2, 1}), ::testing::ElementsAre("b", "", "", " ", "  b", ""));
  EXPECT_EQ(t.decode(Ids{1, 2, 2, 2}), "b ");
}

TEST(Detokenizer, WithoutADecoderTokensAreJoinedBySpaces) {
  nlohmann::json json = bpe_json({"a", "b"}, {});
  json["decoder"] = nullptr;
  EXPECT_EQ(make_tokenizer(json).decode(Ids{0, 1, 0}), "a b a");
}

TEST(Detokenizer, IsReadyForAnotherStreamAfterFinish) {
  const Tokenizer t = sentencepiece_style();
  Detokenizer stream(t);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(stream.push(0), "a");
    EXPECT_EQ(stream.push(2), "");
    EXPECT_EQ(stream.finish(), "\uFFFD");
  }
}

// For random ids: every push is whole characters, and together they are the decoding of the whole.
void check_random_streams(const Tokenizer& t, uint32_t seed) {
  std::mt19937 random(seed);
  for (int round = 0; round < 200; ++round) {
    Ids ids(random() % 40);
    for (TokenId& id : ids) {
      // Low ids are the single bytes, where characters are cut.
      const size_t limit = random() % 2 == 0 ? 512 : t.vocab_size() + 4;
      id = static_cast<TokenId>(random() % limit);
    }
    const DecodeOptions options{random() % 2 == 0};
    Detokenizer stream(t, options);
    std::string text;
    for (const TokenId id : ids) {
      const std::string part = stream.push(id);
      ASSERT_TRUE(is_valid_utf8(part));
      text += part;
    }
    text += stream.finish();
    ASSERT_EQ(text, t.decode(ids, options));
    // From any cut on, what was already given out is a prefix of the whole.
    const size_t cut = ids.empty() ? 0 : random() % ids.size();
    Detokenizer again(t, options);
    std::string prefix;
    for (size_t i = 0; i < cut; ++i) prefix += again.push(ids[i]);
    ASSERT_TRUE(text.starts_with(prefix));
  }
}

TEST(Detokenizer, RandomStreamsOfTheDemoTokenizer) {
  check_random_streams(Tokenizer::open(testing::demo_tokenizer()), 1);
}

TEST(Detokenizer, RandomStreamsOfPublishedTokenizers) {
  const auto shared = testing::shared_dir();
  if (!shared) GTEST_SKIP() << testing::kNoSharedDir;
  for (const char* name : {"qwen3", "gemma3"}) {
    const auto path = *shared / "fixtures/tokenizers" / (std::string(name) + ".tokenizer.json.gz");
    check_random_streams(Tokenizer::parse(testing::gunzip(path), name), 2);
  }
}

}  // namespace
}  // namespace mach
