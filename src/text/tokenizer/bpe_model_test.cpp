// The model against the plainest possible byte-pair encoding, on random merges and texts. It covers what the fast paths do
// differently: the scan for short words, the heap for long ones, the cuts between words, the cache.
#include "text/tokenizer/bpe_model.h"

#include <random>
#include <set>

#include <gtest/gtest.h>

#include "base/utf8.h"

namespace mach {
namespace {

struct Rule {
  std::string left, right;
};

std::vector<std::string> plain_bpe(std::string_view text, const std::vector<Rule>& rules) {
  std::vector<std::string> symbols;
  for (size_t pos = 0; pos < text.size();) {
    const size_t length = decode_utf8(text.substr(pos)).length;
    symbols.emplace_back(text.substr(pos, length));
    pos += length;
  }
  for (;;) {
    size_t best_rule = rules.size();
    size_t best_at = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      for (size_t r = 0; r < best_rule; ++r) {
        if (symbols[i] != rules[r].left || symbols[i + 1] != rules[r].right) continue;
        best_rule = r;
        best_at = i;
      }
    }
    if (best_rule == rules.size()) return symbols;
    symbols[best_at] += symbols[best_at + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
  }
}

struct Random {
  std::mt19937 engine;
  explicit Random(uint32_t seed) : engine(seed) {}
  size_t below(size_t n) { return engine() % n; }
};

TEST(BpeModel, AgreesWithThePlainAlgorithm) {
  const std::vector<std::string> alphabet = {"a", "b", "c", "é", "▁"};
  for (uint32_t seed = 0; seed < 40; ++seed) {
    Random random(seed);
    std::vector<std::string> tokens = alphabet;
    std::set<std::string> known(alphabet.begin(), alphabet.end());
    std::vector<Rule> rules;
    for (int i = 0; i < 60; ++i) {
      const Rule rule = {tokens[random.below(tokens.size())], tokens[random.below(tokens.size())]};
      const bool repeated = std::any_of(rules.begin(), rules.end(), [&](const Rule& r) {
        return r.left == rule.left && r.right == rule.right;
      });
      if (repeated || rule.left.size() + rule.right.size() > 12) continue;
      if (known.insert(rule.left + rule.right).second) tokens.push_back(rule.left + rule.right);
      rules.push_back(rule);
    }
    StringTable vocabulary;
    for (size_t id = 0; id < tokens.size(); ++id) vocabulary.insert(tokens[id], static_cast<TokenId>(id));
    MergeTable merges;
    for (uint32_t rank = 0; rank < rules.size(); ++rank) {
      merges.insert(*vocabulary.find(rules[rank].left), *vocabulary.find(rules[rank].right),
                    {rank, *vocabulary.find(rules[rank].left + rules[rank].right)});
    }
    const BpeModel model(std::move(vocabulary), std::move(merges), BpeOptions{}, "test");
    BpeModel::Scratch scratch;
    for (const size_t length : {1U, 2U, 5U, 20U, 47U, 48U, 49U, 50U, 200U}) {
      std::string text;
      for (size_t i = 0; i < length; ++i) text += alphabet[random.below(alphabet.size())];
      std::vector<TokenId> expected;
      for (const std::string& symbol : plain_bpe(text, rules))
        expected.push_back(*model.vocabulary().find(symbol));
      for (int again = 0; again < 2; ++again) {  // the second time from the cache
        std::vector<TokenId> ids;
        model.encode(text, scratch, ids);
        ASSERT_EQ(ids, expected) << "seed " << seed << ", text " << text;
      }
    }
  }
}

TEST(StringTable, FindsWhatWasInsertedAndRefusesDuplicates) {
  StringTable table;
  EXPECT_EQ(table.find("x"), std::nullopt);
  for (int i = 0; i < 3000; ++i) {
    EXPECT_EQ(table.insert("token" + std::to_string(i), i * 3), StringTable::Insert::kOk);
  }
  EXPECT_EQ(table.insert("token7", 1), StringTable::Insert::kDuplicateString);
  EXPECT_EQ(table.insert("new", 21), StringTable::Insert::kDuplicateId);
  EXPECT_EQ(table.find("new"), std::nullopt);
  for (int i = 0; i < 3000; ++i) EXPECT_EQ(table.find("token" + std::to_string(i)), i * 3);
  EXPECT_EQ(table.at(1).data(), nullptr);
  EXPECT_EQ(table.at(3), "token1");
  EXPECT_EQ(table.size(), 3000U);
  const std::vector<std::string_view> texts = {"token5", "none", "token2999", ""};
  std::vector<TokenId> ids(texts.size());
  table.find_batch(texts, ids);
  EXPECT_EQ(ids, (std::vector<TokenId>{15, -1, 8997, -1}));
}

TEST(StringTable, KeepsTheEmptyString) {
  StringTable table;
  EXPECT_EQ(table.insert("", 0), StringTable::Insert::kOk);
  EXPECT_EQ(table.find(""), 0);
  EXPECT_NE(table.at(0).data(), nullptr);
}

}  // namespace
}  // namespace mach
