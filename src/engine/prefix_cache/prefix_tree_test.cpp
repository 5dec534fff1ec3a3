#include "engine/prefix_cache/prefix_tree.h"

#include <algorithm>
#include <map>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mach {
namespace {

using Tokens = std::vector<TokenId>;

TEST(PrefixTree, FindsTheLongestCommonPrefixOfAnyKey) {
  PrefixTree tree;
  tree.set_entry(tree.insert(Tokens{1, 2, 3, 4}), 7);
  tree.set_entry(tree.insert(Tokens{1, 2, 9}), 8);
  EXPECT_EQ(tree.find(Tokens{1, 2, 3}).common, 3U);
  EXPECT_EQ(tree.find(Tokens{1, 2, 3}).below->entry(), 7U);
  EXPECT_EQ(tree.find(Tokens{1, 2, 5}).common, 2U);
  EXPECT_EQ(tree.find(Tokens{1, 2, 3, 4, 5}).common, 4U);
  EXPECT_EQ(tree.find(Tokens{1, 2, 3, 4, 5}).at->entry(), 7U);
  EXPECT_EQ(tree.find(Tokens{6}).common, 0U);
  EXPECT_EQ(tree.find({}).common, 0U);
}

TEST(PrefixTree, NodesOfEntriesStayWhereTheyAre) {
  PrefixTree tree;
  PrefixTree::Node* const node = tree.insert(Tokens{1, 2, 3, 4});
  tree.set_entry(node, 1);
  PrefixTree::Node* const middle = tree.insert(Tokens{1, 2});
  tree.set_entry(middle, 2);
  EXPECT_EQ(node->key(), (Tokens{1, 2, 3, 4}));
  EXPECT_EQ(middle->key(), (Tokens{1, 2}));
  tree.remove(middle);
  EXPECT_EQ(node->key(), (Tokens{1, 2, 3, 4}));
  EXPECT_EQ(tree.insert(Tokens{1, 2, 3, 4}), node);
}

// Against the simplest model of it: a list of keys.
TEST(PrefixTree, AgreesWithAListOfKeysUnderRandomOperations) {
  std::mt19937 random(11);
  PrefixTree tree;
  std::map<Tokens, PrefixTree::Node*> keys;
  std::map<uint64_t, Tokens> by_id;
  uint64_t next_id = 0;
  const auto random_key = [&] {
    Tokens key(1 + random() % 8);
    for (TokenId& token : key) token = static_cast<TokenId>(random() % 3);
    return key;
  };
  const auto common = [](const Tokens& a, const Tokens& b) {
    return static_cast<uint32_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
  };
  for (int step = 0; step < 20000; ++step) {
    const Tokens key = random_key();
    if (random() % 2 == 0) {
      PrefixTree::Node* const node = tree.insert(key);
      if (keys.contains(key)) {
        ASSERT_EQ(keys.at(key), node);
      }
      if (node->entry()) by_id.erase(*node->entry());
      tree.set_entry(node, next_id);
      by_id[next_id++] = key;
      keys[key] = node;
    } else if (!keys.empty()) {
      auto victim = keys.lower_bound(key);
      if (victim == keys.end()) victim = keys.begin();
      by_id.erase(*victim->second->entry());
      tree.remove(victim->second);
      keys.erase(victim);
    }
    for (const auto& [tokens, node] : keys) {
      ASSERT_EQ(node->key(), tokens);
      ASSERT_EQ(by_id.at(node->entry().value()), tokens);
    }
    const Tokens wanted = random_key();
    uint32_t longest = 0;
    for (const auto& [tokens, node] : keys) longest = std::max(longest, common(tokens, wanted));
    const PrefixTree::Match match = tree.find(wanted);
    ASSERT_EQ(match.common, longest);
    std::vector<Tokens> below;
    PrefixTree::visit_down(match.below, [&](uint64_t id) {
      below.push_back(by_id.at(id));
      return false;
    });
    std::vector<Tokens> expected;
    for (const auto& [tokens, node] : keys) {
      if (common(tokens, wanted) == longest) expected.push_back(tokens);
    }
    ASSERT_THAT(below, ::testing::UnorderedElementsAreArray(expected));
    std::vector<Tokens> above;
    PrefixTree::visit_up(match.at, [&](uint64_t id, uint32_t length) {
      above.push_back(by_id.at(id));
      EXPECT_EQ(above.back().size(), length);
      return false;
    });
    for (const Tokens& tokens : above) ASSERT_EQ(common(tokens, wanted), tokens.size());
    const auto prefixes = std::count_if(keys.begin(), keys.end(), [&](const auto& entry) {
      return common(entry.first, wanted) == entry.first.size();
    });
    ASSERT_EQ(static_cast<size_t>(prefixes), above.size());
  }
}

}  // namespace
}  // namespace mach
