#include "engine/prefix_cache/disk_tier.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/prefix_cache/fake_states.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

using Tokens = std::vector<TokenId>;
using ::testing::ElementsAre;
using testing::FakeStates;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DiskTierTest : public ::testing::Test {
 protected:
  std::unique_ptr<DiskTier> open(uint64_t budget = uint64_t{1} << 20, ModelIdentity identity = {1, 2}) {
    return std::make_unique<DiskTier>(
        DiskTier::Options{folder.path() / "kv", budget, identity, [this] { return states.empty(); }},
        Logger());
  }
  FileId write(DiskTier& tier, const Tokens& tokens) {
    const auto id = tier.write(tokens, states.snapshot_of(tokens), tokens.size() * sizeof(TokenId));
    EXPECT_TRUE(id);
    return id.value_or(0);
  }
  size_t files() const {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path() / "kv")) {
      count += entry.is_regular_file() ? 1 : 0;
    }
    return count;
  }

  testing::TempDir folder;
  FakeStates states{true};
};

TEST_F(DiskTierTest, WhatWasWrittenIsThereAfterReopening) {
  {
    const auto tier = open();
    const FileId id = write(*tier, {1, 2, 3});
    EXPECT_FALSE(tier->readable(id));
    tier->flush();
    EXPECT_THAT(tier->collect().written, ElementsAre(id));
    EXPECT_TRUE(tier->readable(id));
    const auto state = states.empty();
    tier->read(id, Tokens{1, 2, 3}, *state);
    EXPECT_EQ(FakeStates::tokens(*state), (Tokens{1, 2, 3}));
  }
  const auto tier = open();
  const auto saved = tier->take_saved();
  ASSERT_EQ(saved.size(), 1U);
  EXPECT_EQ(saved[0].tokens, (Tokens{1, 2, 3}));
  const auto state = states.empty();
  tier->read(saved[0].id, saved[0].tokens, *state);
  EXPECT_EQ(state->length(), 3U);
}

TEST_F(DiskTierTest, DestructionWaitsForWhatIsBeingWritten) {
  auto tier = open();
  for (TokenId i = 0; i < 5; ++i) write(*tier, Tokens(1000, i));
  tier.reset();
  EXPECT_EQ(files(), 5U);
}

TEST_F(DiskTierTest, AnotherModelsFilesAreIgnoredButCountAndGoWhenRoomIsNeeded) {
  {
    const auto tier = open();
    write(*tier, Tokens(100, 1));
  }
  const auto other = open(1500, {1, 3});
  EXPECT_THAT(other->take_saved(), IsEmpty());
  EXPECT_EQ(other->count(), 1U);
  const uint64_t one = other->bytes();
  EXPECT_GT(one, 800U);  // tokens twice, in the header and in the state
  write(*other, Tokens(100, 2));
  other->flush();
  other->collect();
  EXPECT_EQ(other->count(), 1U);
  EXPECT_EQ(other->evictions(), 1U);
  EXPECT_EQ(files(), 1U);
}

TEST_F(DiskTierTest, EvictionTellsWhatIsGoneAndKeepsWhatIsUsed) {
  const auto tier = open(3500);
  const FileId used = write(*tier, Tokens(100, 1));
  const FileId unused = write(*tier, Tokens(100, 2));
  tier->flush();
  tier->collect();
  tier->read(used, Tokens(100, 1), *states.empty());
  write(*tier, Tokens(100, 3));
  write(*tier, Tokens(100, 4));
  tier->flush();
  EXPECT_THAT(tier->collect().gone, ::testing::Contains(unused));
  EXPECT_TRUE(tier->readable(used));
  EXPECT_LE(tier->bytes(), 3500U);
}

TEST_F(DiskTierTest, AStateBeyondTheBudgetIsNotWritten) {
  const auto tier = open(100);
  EXPECT_FALSE(tier->write(Tokens(100, 1), states.snapshot_of(Tokens(100, 1)), 400));
}

TEST_F(DiskTierTest, DamagedFilesAreRemovedAtTheStart) {
  { write(*open(), {1, 2, 3}); }
  const auto path = std::filesystem::directory_iterator(folder.path() / "kv")->path();
  std::filesystem::resize_file(path, 40);
  const auto tier = open();
  EXPECT_THAT(tier->take_saved(), IsEmpty());
  EXPECT_EQ(tier->errors(), 1U);
  EXPECT_EQ(files(), 0U);
}

TEST_F(DiskTierTest, AFileThatSomebodyElseRemovedIsAMiss) {
  const auto tier = open();
  const FileId id = write(*tier, {1, 2, 3});
  tier->flush();
  tier->collect();
  std::filesystem::remove(std::filesystem::directory_iterator(folder.path() / "kv")->path());
  EXPECT_MACH_ERROR(tier->read(id, Tokens{1, 2, 3}, *states.empty()), ErrorCode::kNotFound,
                    HasSubstr(".machkv"));
  EXPECT_FALSE(tier->readable(id));
}

TEST_F(DiskTierTest, AFailedWriteIsToldAndHarmsNothing) {
  const auto tier = open();
  std::filesystem::remove_all(folder.path() / "kv");
  const FileId id = write(*tier, {1, 2, 3});
  tier->flush();
  EXPECT_THAT(tier->collect().gone, ElementsAre(id));
  EXPECT_EQ(tier->errors(), 1U);
}

TEST_F(DiskTierTest, AFolderThatCannotBeMadeIsAnError) {
  folder.write("kv", "a file");
  EXPECT_MACH_ERROR(open(), ErrorCode::kIo, HasSubstr("kv"));
}

}  // namespace
}  // namespace mach
