#include "experts/hot_list.h"

#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "experts/expert_bank.h"
#include "support/expect_error.h"
#include "support/scripted_source.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::MadeUpSource;
using testing::ReadScript;
using testing::ScriptedSource;
using testing::TempDir;

TEST(HotList, IsReadAsItWasWritten) {
  const MadeUpSource source({8, 0, 4});
  const HotList list = {{{2, 3}, 17.5}, {{0, 1}, 4}, {{0, 7}, 4}};
  EXPECT_EQ(parse_hot_list(hot_list_text(list), "hot", source.layers()), list);
  const TempDir dir;
  save_hot_list(dir.path() / "new" / "hot.json", list);
  EXPECT_EQ(load_hot_list(dir.path() / "new" / "hot.json", source.layers()), list);
}

TEST(HotList, RefusesWhatDoesNotFitTheModel) {
  const MadeUpSource source({8, 0, 4});
  const auto parse = [&](const std::string& experts) {
    return parse_hot_list(R"({"format": "mach-hot-experts", "version": 1, "experts": )" + experts + "}",
                          "hot", source.layers());
  };
  EXPECT_EQ(parse("[[0, 7, 1]]").size(), 1U);
  for (const char* bad :
       {"[[0, 8, 1]]", "[[1, 0, 1]]", "[[2, 4, 1]]", "[[0, 0, 0]]", "[[0, 0, -1]]", "[[0, -1, 1]]",
        "[[0, 0]]", "[1]", "{}", "[[0, 1, 1], [0, 1, 2]]", "[[4294967296, 0, 1]]"}) {
    EXPECT_MACH_ERROR(parse(bad), ErrorCode::kCorruptFile, HasSubstr("hot: experts"));
  }
  EXPECT_MACH_ERROR(parse_hot_list("[]", "hot", source.layers()), ErrorCode::kCorruptFile, HasSubstr("hot"));
  const TempDir dir;
  EXPECT_TRUE(load_hot_list(dir.path() / "none.json", source.layers()).empty());
  dir.write("bad.json", "{");
  EXPECT_TRUE(load_hot_list(dir.path() / "bad.json", source.layers()).empty());
}

TEST(HotList, EarlierRunsFade) {
  const HotList merged = merge_hot_lists({{{0, 0}, 40}, {{0, 1}, 1}}, {{{0, 2}, 30}, {{0, 0}, 5}});
  EXPECT_THAT(merged, ElementsAre(ExpertUses{{0, 2}, 30}, ExpertUses{{0, 0}, 25}));
}

struct HotBank {
  std::shared_ptr<ReadScript> script = std::make_shared<ReadScript>();
  std::unique_ptr<ExpertBank> bank;
  HotBank(const std::filesystem::path& file, uint32_t slots, int fail_at = -1) {
    auto source = std::make_unique<MadeUpSource>(std::vector<uint32_t>{16, 16});
    const uint64_t record = source->layers().front().record.size;
    script->fail_at = fail_at;
    bank = std::make_unique<ExpertBank>(
        std::make_unique<ScriptedSource>(std::move(source), script),
        BankOptions{
            .budget_bytes = slots * record, .top_k = 2, .eviction = EvictionKind::kLru, .hot_list = file});
  }
};

TEST(HotExperts, AreLearnedAndThenHeldForGood) {
  const TempDir dir;
  const std::filesystem::path file = dir.path() / "hot.json";
  {
    const HotBank first(file, 12);
    EXPECT_EQ(first.bank->status().pinned, 0U);
    for (int token = 0; token < 20; ++token) {
      for (uint32_t layer = 0; layer < 2; ++layer) {
        first.bank->acquire(layer, std::array<uint32_t, 2>{3, 4 + static_cast<uint32_t>(token % 8)});
      }
    }
    first.bank->acquire(0, std::array<uint32_t, 1>{15}, ExpertUse::kPrefill);  // not counted
  }
  const HotList learned = load_hot_list(file, MadeUpSource({16, 16}).layers());
  ASSERT_GE(learned.size(), 4U);
  EXPECT_EQ(learned[0], (ExpertUses{{0, 3}, 20}));
  EXPECT_EQ(learned[1], (ExpertUses{{1, 3}, 20}));
  for (const ExpertUses& entry : learned) EXPECT_NE(entry.id, (ExpertId{0, 15}));

  const HotBank second(file, 12);
  const ExpertStatus status = second.bank->status();
  EXPECT_EQ(status.pinned, 6U) << "half of the bank";
  EXPECT_EQ(status.total.reads, 0U) << "counters begin behind the start";
  for (uint32_t expert = 4; expert < 16; ++expert) {  // more than the rest of the bank, in a plain LRU
    for (uint32_t layer = 0; layer < 2; ++layer) second.bank->acquire(layer, std::array<uint32_t, 1>{expert});
  }
  EXPECT_TRUE(second.bank->holds({0, 3}) && second.bank->holds({1, 3}));
  second.bank->acquire(0, std::array<uint32_t, 2>{3, 9});
  EXPECT_GE(second.bank->status().total.hits, 1U);
}

// A token's working set is never given to the list, and a read that fails at the start is left to who needs it.
TEST(HotExperts, LeaveRoomForAToken) {
  const TempDir dir;
  const std::filesystem::path file = dir.path() / "hot.json";
  save_hot_list(file, {{{0, 1}, 9}, {{0, 2}, 8}, {{1, 1}, 7}, {{1, 2}, 6}});
  EXPECT_EQ(HotBank(file, 4).bank->status().pinned, 0U);
  EXPECT_EQ(HotBank(file, 5).bank->status().pinned, 1U);
  const HotBank faulty(file, 10, 1);
  EXPECT_EQ(faulty.bank->status().pinned, 3U);
  for (uint32_t expert = 0; expert < 16; ++expert) {
    for (uint32_t layer = 0; layer < 2; ++layer) {
      const uint32_t most = faulty.bank->max_lease(layer);
      std::vector<uint32_t> ids;
      for (uint32_t i = 0; i < most; ++i) ids.push_back((expert + i) % 16);
      EXPECT_EQ(faulty.bank->acquire(layer, ids).size(), most);
    }
  }
}

}  // namespace
}  // namespace mach
