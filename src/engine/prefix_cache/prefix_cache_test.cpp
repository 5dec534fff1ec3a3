#include "engine/prefix_cache/prefix_cache.h"

#include <algorithm>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/prefix_cache/fake_states.h"
#include "model/caches/paged_kv.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

using Tokens = std::vector<TokenId>;
using testing::FakeStates;

Tokens first(const Tokens& tokens, size_t n) {
  return {tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(n)};
}

TEST(PrefixCache, ReusesAnyPrefixOfWhatKeepsEveryPosition) {
  const FakeStates states(true);
  PrefixCache cache({.block_size = 2}, nullptr, Logger());
  cache.insert(Tokens{1, 2, 3, 4, 5}, *states.of({1, 2, 3, 4, 5}));
  const auto state = states.empty();
  const auto reuse = cache.restore(Tokens{1, 2, 3, 9, 9}, *state);
  EXPECT_EQ(reuse.length, 3U);
  EXPECT_EQ(FakeStates::tokens(*state), (Tokens{1, 2, 3}));
  // The last token of a prompt goes through the model in any case.
  EXPECT_EQ(cache.restore(Tokens{1, 2, 3, 4, 5}, *states.empty()).length, 4U);
  EXPECT_EQ(cache.restore(Tokens{1, 9}, *states.empty()).length, 0U);  // less than a block
  EXPECT_EQ(cache.stats().lookups, 3U);
  EXPECT_EQ(cache.stats().hits, 2U);
  EXPECT_EQ(cache.stats().cached_tokens, 7U);
}

TEST(PrefixCache, ReusesOnlyWholeEntriesOfOtherKindsAndTellsWherePromptsPart) {
  const FakeStates states(false);
  PrefixCache cache({.block_size = 2}, nullptr, Logger());
  cache.insert(Tokens{1, 2}, *states.of({1, 2}));
  cache.insert(Tokens{1, 2, 3, 4, 5}, *states.of({1, 2, 3, 4, 5}));
  const auto state = states.empty();
  const auto reuse = cache.restore(Tokens{1, 2, 3, 4, 9, 9}, *state);
  EXPECT_EQ(reuse.length, 2U);
  EXPECT_EQ(reuse.common, 4U);
  EXPECT_EQ(FakeStates::tokens(*state), (Tokens{1, 2}));
  EXPECT_EQ(cache.restore(Tokens{1, 2, 3, 4, 5, 6}, *states.empty()).length, 5U);
  EXPECT_EQ(cache.restore(Tokens{1, 2, 3, 4, 5}, *states.empty()).length, 2U);
}

TEST(PrefixCache, ALongerEntryReplacesWhatItCovers) {
  const FakeStates all(true);
  PrefixCache cache({.block_size = 1}, nullptr, Logger());
  cache.insert(Tokens{1, 2}, *all.of({1, 2}));
  cache.insert(Tokens{1, 2, 3}, *all.of({1, 2, 3}));
  EXPECT_EQ(cache.stats().entries, 1U);
  cache.insert(Tokens{1, 2}, *all.of({1, 2}));
  EXPECT_EQ(cache.stats().entries, 1U);
  EXPECT_EQ(cache.stats().bytes, 3 * sizeof(int32_t));

  const FakeStates fixed(false);
  PrefixCache other({.block_size = 1}, nullptr, Logger());
  other.insert(Tokens{1, 2}, *fixed.of({1, 2}));
  other.insert(Tokens{1, 2, 3}, *fixed.of({1, 2, 3}));
  EXPECT_EQ(other.stats().entries, 2U);
}

TEST(PrefixCache, TheLeastRecentlyUsedEntryGoesFirst) {
  const FakeStates states(false);
  PrefixCache cache({.max_entries = 2, .block_size = 1}, nullptr, Logger());
  cache.insert(Tokens{1, 1}, *states.of({1, 1}));
  cache.insert(Tokens{2, 2}, *states.of({2, 2}));
  EXPECT_EQ(cache.restore(Tokens{1, 1, 5}, *states.empty()).length, 2U);
  cache.insert(Tokens{3, 3}, *states.of({3, 3}));
  EXPECT_EQ(cache.restore(Tokens{2, 2, 5}, *states.empty()).length, 0U);
  EXPECT_EQ(cache.restore(Tokens{1, 1, 5}, *states.empty()).length, 2U);
  EXPECT_EQ(cache.stats().evictions, 1U);
}

TEST(PrefixCache, AnEntryThatFitsNowhereLeavesTheOthersAlone) {
  const FakeStates states(false);
  PrefixCache cache({.max_bytes = 8 * sizeof(int32_t), .block_size = 1}, nullptr, Logger());
  cache.insert(Tokens{1, 1}, *states.of({1, 1}));
  cache.insert(Tokens(9, 2), *states.of(Tokens(9, 2)));
  EXPECT_EQ(cache.stats().entries, 1U);
  EXPECT_EQ(cache.restore(Tokens{1, 1, 5}, *states.empty()).length, 2U);
}

TEST(PrefixCache, SwitchedOffItKeepsNothing) {
  const FakeStates states(true);
  PrefixCache cache({.enabled = false, .block_size = 1}, nullptr, Logger());
  cache.insert(Tokens{1, 2, 3}, *states.of({1, 2, 3}));
  EXPECT_EQ(cache.restore(Tokens{1, 2, 3}, *states.empty()).length, 0U);
}

TEST(PrefixCache, BlocksThatEntriesShareCountOnce) {
  constexpr KvShape kShape{.kv_heads = 1, .head_dim = 2, .element = KvElement::kF32};
  std::vector<std::unique_ptr<LayerCache>> layers;
  layers.push_back(std::make_unique<PagedKv>(kShape));
  SequenceState state(std::move(layers));
  const auto append = [&](uint32_t tokens) {
    auto& kv = state.layer<PagedKv>(0);
    kv.stage(tokens);
    const float row[2] = {};
    const KernelSet& kernels = select_kernel_set(probe_cpu_features());
    for (uint32_t i = 0; i < tokens; ++i) kv.write(kernels, state.length() + i, row, row);
    state.commit();
  };
  const uint64_t block = uint64_t{PagedKv::kBlockTokens} * kShape.token_bytes();
  PrefixCache cache({.block_size = 1}, nullptr, Logger());
  append(128);
  Tokens tokens(128, 1);
  cache.insert(tokens, state);
  EXPECT_EQ(cache.stats().bytes, 2 * block);
  // Two that go on differently from there.
  const StateSnapshot fork = state.snapshot();
  for (const TokenId next : {5, 6}) {
    state.restore(fork);
    append(64);
    tokens.resize(128);
    tokens.resize(192, next);
    cache.insert(tokens, state);
  }
  EXPECT_EQ(cache.stats().entries, 2U);
  EXPECT_EQ(cache.stats().bytes, 4 * block);
}

class PrefixCacheOnDisk : public ::testing::Test {
 protected:
  PrefixCache open(PrefixCacheOptions options = {}) {
    options.block_size = 2;
    return {
        options,
        std::make_unique<DiskTier>(
            DiskTier::Options{folder.path(), uint64_t{1} << 20, {1, 2}, [this] { return states.empty(); }},
            Logger()),
        Logger()};
  }

  testing::TempDir folder;
  FakeStates states{false};
};

TEST_F(PrefixCacheOnDisk, SurvivesARestart) {
  const Tokens prompt = {1, 2, 3, 4, 5};
  {
    PrefixCache cache = open();
    cache.insert(prompt, *states.of(prompt));  // a cold miss is saved at once
    cache.save_all();
    EXPECT_EQ(cache.stats().disk_files, 1U);
    EXPECT_EQ(cache.stats().disk_writes, 1U);
  }
  PrefixCache cache = open();
  EXPECT_EQ(cache.stats().entries, 0U);
  const auto state = states.empty();
  EXPECT_EQ(cache.restore(Tokens{1, 2, 3, 4, 5, 6}, *state).length, 5U);
  EXPECT_EQ(FakeStates::tokens(*state), prompt);
  EXPECT_EQ(cache.stats().disk_hits, 1U);
  // From memory the second time.
  EXPECT_EQ(cache.restore(Tokens{1, 2, 3, 4, 5, 7}, *states.empty()).length, 5U);
  EXPECT_EQ(cache.stats().disk_hits, 1U);
  EXPECT_EQ(cache.stats().hits, 2U);
}

TEST_F(PrefixCacheOnDisk, ADisplacedSnapshotIsFoundOnDisk) {
  PrefixCache cache = open({.max_entries = 1});
  cache.insert(Tokens{1, 1, 1}, *states.of({1, 1, 1}));
  cache.insert(Tokens{2, 2, 2}, *states.of({2, 2, 2}));
  cache.save_all();
  EXPECT_EQ(cache.stats().entries, 1U);
  EXPECT_EQ(cache.stats().disk_files, 2U);
  EXPECT_EQ(cache.restore(Tokens{1, 1, 1, 5}, *states.empty()).length, 3U);
  EXPECT_EQ(cache.stats().disk_hits, 1U);
}

TEST_F(PrefixCacheOnDisk, AConversationIsSavedAgainOnlyWhenItHasGrown) {
  PrefixCache cache = open();
  Tokens tokens(100, 1);
  cache.insert(tokens, *states.of(tokens));
  cache.save_all();
  for (int turn = 0; turn < 10; ++turn) {
    tokens.resize(tokens.size() + 3, 2);
    cache.insert(tokens, *states.of(tokens));
  }
  cache.collect();
  EXPECT_EQ(cache.stats().disk_files, 1U);
  tokens.resize(140, 3);
  cache.insert(tokens, *states.of(tokens));
  EXPECT_EQ(cache.stats().disk_files, 2U);
}

TEST_F(PrefixCacheOnDisk, ALongerFileReplacesTheOnesItCovers) {
  states = FakeStates(true);
  PrefixCache cache = open();
  cache.insert(Tokens(10, 1), *states.of(Tokens(10, 1)));
  cache.save_all();
  cache.insert(Tokens(20, 1), *states.of(Tokens(20, 1)));
  cache.save_all();
  EXPECT_EQ(cache.stats().disk_files, 1U);
  PrefixCache again = open();
  EXPECT_EQ(again.restore(Tokens(15, 1), *states.empty()).length, 14U);
}

TEST_F(PrefixCacheOnDisk, ABranchOfWhatIsOnDiskIsNotWrittenAgain) {
  states = FakeStates(true);
  PrefixCache cache = open();
  Tokens tokens(100, 1);
  tokens.push_back(2);
  cache.insert(tokens, *states.of(tokens));
  cache.save_all();
  tokens.back() = 3;
  cache.insert(tokens, *states.of(tokens));
  cache.collect();
  EXPECT_EQ(cache.stats().entries, 2U);
  EXPECT_EQ(cache.stats().disk_files, 1U);
}

TEST_F(PrefixCacheOnDisk, ADamagedFileIsAMissAndGoes) {
  const Tokens prompt = {1, 2, 3, 4, 5};
  open().insert(prompt, *states.of(prompt));
  PrefixCache cache = open();
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    std::filesystem::resize_file(entry.path(), std::filesystem::file_size(entry.path()) - 1);
  }
  const auto state = states.empty();
  EXPECT_EQ(cache.restore(Tokens{1, 2, 3, 4, 5, 6}, *state).length, 0U);
  EXPECT_EQ(state->length(), 0U);
  EXPECT_EQ(cache.stats().disk_errors, 1U);
  EXPECT_EQ(cache.stats().disk_files, 0U);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST_F(PrefixCacheOnDisk, ClearForgetsTheDiskToo) {
  PrefixCache cache = open();
  cache.insert(Tokens{1, 2, 3}, *states.of({1, 2, 3}));
  cache.save_all();
  cache.clear();
  EXPECT_EQ(cache.restore(Tokens{1, 2, 3, 4}, *states.empty()).length, 0U);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

// Against a list of all that was kept: nothing but what was inserted comes back, at the longest length there is, and
// the bounds hold at every step.
class PrefixCacheProperty : public ::testing::TestWithParam<bool> {};

TEST_P(PrefixCacheProperty, AgreesWithAListUnderRandomOperations) {
  const FakeStates states(GetParam());
  const PrefixCacheOptions options{.max_entries = 100000, .block_size = 2};
  PrefixCacheOptions small = options;
  small.max_entries = 5;
  small.max_bytes = 200;
  PrefixCache all(options, nullptr, Logger());
  PrefixCache bounded(small, nullptr, Logger());
  std::vector<Tokens> kept;
  std::mt19937 random(3);
  const auto random_tokens = [&] {
    Tokens tokens(1 + random() % 12);
    for (TokenId& token : tokens) token = static_cast<TokenId>(random() % 3);
    return tokens;
  };
  for (int step = 0; step < 5000; ++step) {
    const Tokens tokens = random_tokens();
    if (random() % 2 == 0) {
      all.insert(tokens, *states.of(tokens));
      bounded.insert(tokens, *states.of(tokens));
      if (tokens.size() >= 2) kept.push_back(tokens);
    }
    const Tokens prompt = random_tokens();
    size_t longest = 0;
    for (const Tokens& key : kept) {
      const auto common = static_cast<size_t>(
          std::mismatch(key.begin(), key.end(), prompt.begin(), prompt.end() - 1).first - key.begin());
      if (GetParam() || common == key.size()) longest = std::max(longest, common);
    }
    if (longest < 2) longest = 0;
    const auto state = states.empty();
    ASSERT_EQ(all.restore(prompt, *state).length, longest);
    ASSERT_EQ(FakeStates::tokens(*state), first(prompt, longest));
    const auto other = states.empty();
    const uint32_t length = bounded.restore(prompt, *other).length;
    ASSERT_LE(length, longest);
    ASSERT_EQ(FakeStates::tokens(*other), first(prompt, length));
    ASSERT_LE(bounded.stats().entries, 5U);
    ASSERT_LE(bounded.stats().bytes, 200U);
  }
  bounded.clear();
  EXPECT_EQ(bounded.stats().bytes, 0U);
  EXPECT_EQ(bounded.stats().entries, 0U);
}

INSTANTIATE_TEST_SUITE_P(Kinds, PrefixCacheProperty, ::testing::Bool(), [](const auto& param) {
  return param.param ? "keeps_every_position" : "only_whole_entries";
});

}  // namespace
}  // namespace mach
