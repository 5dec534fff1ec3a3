#include "experts/expert_bank.h"

#include <algorithm>
#include <array>
#include <list>
#include <numeric>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/memory_info.h"
#include "support/expect_error.h"
#include "support/scripted_source.h"

namespace mach {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::MadeUpSource;
using testing::ReadScript;
using testing::ScriptedSource;

struct BankWithScript {
  std::shared_ptr<ReadScript> script = std::make_shared<ReadScript>();
  uint64_t record = 0;
  std::unique_ptr<ExpertBank> bank;

  explicit BankWithScript(const std::vector<uint32_t>& sizes, uint32_t slots, BankOptions options = {},
                          const std::function<void(ReadScript&)>& prepare = {}) {
    auto made_up = std::make_unique<MadeUpSource>(sizes);
    record = made_up->layers().front().record.size;
    options.budget_bytes = slots * record;
    if (prepare) prepare(*script);
    bank =
        std::make_unique<ExpertBank>(std::make_unique<ScriptedSource>(std::move(made_up), script), options);
  }
  ExpertBank* operator->() const noexcept { return bank.get(); }
};

void expect_contents(const ExpertLease& lease, uint32_t layer, std::span<const uint32_t> experts) {
  ASSERT_EQ(lease.size(), experts.size());
  for (size_t i = 0; i < experts.size(); ++i) {
    const ExpertId id{layer, experts[i]};
    const std::byte* gate = lease[i].gate.codes.data;
    const std::byte* down = lease[i].down.codes.data;
    ASSERT_EQ(gate[0], testing::made_up_byte(id, 0)) << to_string(id);
    ASSERT_EQ(down[0], testing::made_up_byte(id, static_cast<uint64_t>(down - gate))) << to_string(id);
  }
}

void touch(ExpertBank& bank, uint32_t layer, const std::vector<uint32_t>& experts,
           ExpertUse use = ExpertUse::kDecode) {
  const ExpertLease lease = bank.acquire(layer, experts, use);
  expect_contents(lease, layer, experts);
}

std::vector<uint32_t> some_of(std::mt19937& random, uint32_t experts, size_t count) {
  std::vector<uint32_t> ids(experts);
  std::iota(ids.begin(), ids.end(), 0U);
  std::shuffle(ids.begin(), ids.end(), random);
  ids.resize(count);
  return ids;
}

TEST(ExpertBank, ReadsOnceAndKeeps) {
  const BankWithScript bank({8, 8}, 8, {.top_k = 2});
  touch(*bank.bank, 0, {3, 1});
  touch(*bank.bank, 1, {3, 5});
  touch(*bank.bank, 0, {1, 3});
  EXPECT_EQ(bank.script->reads, 4);
  const ExpertStatus status = bank->status();
  EXPECT_EQ(status.total.misses, 4U);
  EXPECT_EQ(status.total.hits, 2U);
  EXPECT_EQ(status.total.bytes_read, 4 * bank.record);
  EXPECT_EQ(status.held, 4U);
  EXPECT_EQ(status.layers[1].counters.misses, 2U);
  EXPECT_LE(status.bank_bytes, status.budget_bytes);
}

TEST(ExpertBank, RefusesABudgetBelowATokensWorkingSetAndSaysWhatWouldDo) {
  const uint64_t record = MadeUpSource({8}).layers().front().record.size;
  const auto open = [&](uint64_t budget, uint64_t staging) {
    return ExpertBank(std::make_unique<MadeUpSource>(std::vector<uint32_t>{8, 8}, 32, staging),
                      {.budget_bytes = budget, .top_k = 2, .lanes = 3});
  };
  EXPECT_MACH_ERROR(open(4 * record - 1, 0), ErrorCode::kOutOfBudget, HasSubstr(std::to_string(4 * record)));
  open(4 * record, 0);
  EXPECT_MACH_ERROR(open(4 * record, 100), ErrorCode::kOutOfBudget,
                    HasSubstr(std::to_string(4 * record + 300)));
}

TEST(ExpertBank, NeverEvictsWhatIsLeased) {
  const BankWithScript bank({8}, 4, {.top_k = 2});
  const ExpertLease lease = bank->acquire(0, std::array<uint32_t, 2>{0, 1});
  for (uint32_t expert = 2; expert < 8; ++expert) touch(*bank.bank, 0, {expert});
  expect_contents(lease, 0, std::array<uint32_t, 2>{0, 1});
  EXPECT_TRUE(bank->holds({0, 0}) && bank->holds({0, 1}));
}

// A plain LRU list says which experts a bank with that policy holds, exactly.
TEST(ExpertBank, IsTheLruListItClaimsToBe) {
  std::mt19937 random(7);
  constexpr uint32_t kSlots = 11;
  const BankWithScript bank({9, 6, 12}, kSlots, {.top_k = 3, .eviction = EvictionKind::kLru});
  const std::array<uint32_t, 3> sizes = {9, 6, 12};
  std::list<ExpertId> model;  // most recent first
  uint64_t hits = 0;
  for (int step = 0; step < 3000; ++step) {
    const uint32_t layer = random() % 3;
    const auto experts = some_of(random, sizes[layer], 1 + random() % 4);
    const auto refresh = [&](ExpertId id) {
      const auto found = std::find(model.begin(), model.end(), id);
      const bool held = found != model.end();
      if (held) model.erase(found);
      return held;
    };
    std::vector<ExpertId> missing;
    for (const uint32_t expert : experts) {
      const ExpertId id{layer, expert};
      if (refresh(id)) {
        model.push_front(id);
        ++hits;
      } else {
        missing.push_back(id);
      }
    }
    for (const ExpertId id : missing) {
      while (model.size() >= kSlots) model.pop_back();
      model.push_front(id);
    }
    touch(*bank.bank, layer, experts);
    for (uint32_t l = 0; l < 3; ++l) {
      for (uint32_t e = 0; e < sizes[l]; ++e) {
        const bool held = std::find(model.begin(), model.end(), ExpertId{l, e}) != model.end();
        ASSERT_EQ(bank->holds({l, e}), held) << "step " << step << ", " << to_string(ExpertId{l, e});
      }
    }
  }
  const ExpertCounters total = bank->status().total;
  EXPECT_EQ(total.hits, hits);
  EXPECT_EQ(total.reads, total.misses);
  EXPECT_EQ(total.evictions, total.reads - kSlots);
}

// Whatever is asked and announced, what comes is right, the budget holds and the books balance.
TEST(ExpertBank, KeepsItsPromisesUnderRandomUse) {
  for (const EvictionKind eviction : {EvictionKind::kLfru, EvictionKind::kLru, EvictionKind::kLookahead}) {
    std::mt19937 random(11);
    const BankWithScript bank({16, 16, 0, 16}, 14, {.top_k = 4, .eviction = eviction, .lanes = 3},
                              [](ReadScript& script) { script.fail_every = 37; });
    const std::array<uint32_t, 3> layers = {0, 1, 3};
    uint64_t asked = 0;
    int failures = 0;
    for (int step = 0; step < 3000; ++step) {
      const uint32_t layer = layers[random() % 3];
      const auto next = some_of(random, 16, random() % 12);
      switch (random() % 4) {
        case 0:
          bank->prefetch(layers[random() % 3], next, PrefetchHint::kGuess);
          break;
        case 1:
          bank->prefetch(layer, next, PrefetchHint::kNext);
          break;
        default:
          break;
      }
      const uint32_t most = bank->max_lease(layer);
      ASSERT_GE(most, 4U);
      const auto experts = some_of(random, 16, 1 + random() % most);
      asked += experts.size();
      try {
        const ExpertLease lease =
            bank->acquire(layer, experts, random() % 3 == 0 ? ExpertUse::kPrefill : ExpertUse::kDecode);
        expect_contents(lease, layer, experts);
      } catch (const Error& error) {
        ++failures;
        EXPECT_THAT(std::string(error.what()), HasSubstr("layer " + std::to_string(layer)));
      }
      const ExpertStatus status = bank->status();
      ASSERT_LE(status.held, status.slots);
    }
    const ExpertCounters total = bank->status().total;
    EXPECT_GT(failures, 0);
    EXPECT_EQ(total.hits + total.misses, asked);
    EXPECT_GE(bank.script->reads, static_cast<int>(total.reads));
  }
}

TEST(ExpertBank, AFailedReadFailsOnlyWhoWaitsForIt) {
  const BankWithScript bank({8, 8}, 8, {.top_k = 2});
  touch(*bank.bank, 0, {0, 1});
  bank.script->fail_at = 2;
  EXPECT_MACH_ERROR(bank->acquire(1, std::array<uint32_t, 2>{4, 5}), ErrorCode::kIo,
                    AllOf(HasSubstr("layer 1, expert"), HasSubstr("scripted failure")));
  touch(*bank.bank, 1, {4, 5});
  bank.script->short_at = bank.script->reads.load();
  EXPECT_MACH_ERROR(bank->acquire(1, std::array<uint32_t, 1>{7}), ErrorCode::kIo,
                    HasSubstr("layer 1, expert 7"));
  touch(*bank.bank, 1, {7});
  touch(*bank.bank, 0, {0, 1});
  EXPECT_EQ(bank->status().layers[0].counters.misses, 2U) << "what was held stayed";
}

TEST(ExpertBank, StartsAllMissesAtOnce) {
  constexpr uint32_t kLanes = 4;
  std::atomic<int> together{0};
  std::atomic<int> most{0};
  const BankWithScript bank({8}, 8, {.top_k = 4, .lanes = kLanes}, [&](ReadScript& script) {
    script.before = [&](ExpertId) {
      const int now = ++together;
      int seen = most;
      while (now > seen && !most.compare_exchange_weak(seen, now)) {
      }
      // Waits for the others, for a moment at most.
      for (int i = 0; i < 2000 && most < static_cast<int>(kLanes); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      --together;
    };
  });
  touch(*bank.bank, 0, {0, 1, 2, 3});
  EXPECT_EQ(most, static_cast<int>(kLanes));
}

TEST(ExpertBank, PrefillLeavesDecodesExpertsAlone) {
  const BankWithScript bank({32, 32}, 24, {.top_k = 4});
  for (int token = 0; token < 10; ++token) {
    for (uint32_t layer = 0; layer < 2; ++layer) touch(*bank.bank, layer, {0, 1, 2, 3});
  }
  for (int chunk = 0; chunk < 3; ++chunk) {
    for (uint32_t layer = 0; layer < 2; ++layer) {
      std::vector<uint32_t> all(32);
      std::iota(all.begin(), all.end(), 0U);
      for (std::span<const uint32_t> rest = all; !rest.empty();) {
        const size_t wave = std::min<size_t>(bank->max_lease(layer), rest.size());
        bank->prefetch(layer, rest, PrefetchHint::kNext);
        const std::vector<uint32_t> now(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(wave));
        touch(*bank.bank, layer, now, ExpertUse::kPrefill);
        rest = rest.subspan(wave);
      }
    }
  }
  const int reads = bank.script->reads;
  EXPECT_LE(reads, 8 + 3 * 2 * 28) << "each expert is read once per chunk at most";
  for (uint32_t layer = 0; layer < 2; ++layer) touch(*bank.bank, layer, {0, 1, 2, 3});
  EXPECT_EQ(bank.script->reads, reads) << "decode goes on without a miss";
}

TEST(ExpertBank, LookaheadEvictionKeepsWhatIsPredicted) {
  const BankWithScript bank({8, 8}, 6,
                            {.top_k = 2, .eviction = EvictionKind::kLookahead, .lookahead = Lookahead::kOff});
  touch(*bank.bank, 0, {0, 1});
  touch(*bank.bank, 1, {0, 1});
  touch(*bank.bank, 0, {2, 3});
  EXPECT_TRUE(bank->wants_guesses());
  bank->prefetch(1, std::array<uint32_t, 2>{0, 1}, PrefetchHint::kGuess);
  touch(*bank.bank, 0, {4, 5, 6});
  EXPECT_TRUE(bank->holds({1, 0}) && bank->holds({1, 1}));
}

TEST(ExpertBank, CountsGuesses) {
  const BankWithScript bank({8, 8}, 8, {.top_k = 2, .lookahead = Lookahead::kOn});
  touch(*bank.bank, 0, {0, 1});
  bank->prefetch(1, std::array<uint32_t, 3>{2, 3, 4}, PrefetchHint::kGuess);
  for (int i = 0; i < 5000 && bank->status().total.reads < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ASSERT_EQ(bank->status().total.reads, 5U) << "an idle disk reads guesses";
  touch(*bank.bank, 1, {2, 3});
  touch(*bank.bank, 0, {0, 1});
  const ExpertCounters total = bank->status().total;
  EXPECT_EQ(total.guesses_useful, 2U);
  EXPECT_EQ(total.guesses_wasted, 1U);
  EXPECT_EQ(total.hits, 4U);
  EXPECT_EQ(total.misses, 2U);
}

TEST(ExpertBank, GuessesWaitForWhatIsNeeded) {
  std::atomic<bool> hold{true};
  std::vector<ExpertId> order;  // one lane: reads are one after the other
  const BankWithScript bank({8, 8}, 8, {.top_k = 2, .lanes = 1, .lookahead = Lookahead::kOn},
                            [&](ReadScript& script) {
                              script.before = [&](ExpertId id) {
                                order.push_back(id);
                                while (hold) std::this_thread::sleep_for(std::chrono::milliseconds(1));
                              };
                            });
  std::jthread first([&] { touch(*bank.bank, 0, {0}); });
  while (bank.script->reads == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  bank->prefetch(1, std::array<uint32_t, 1>{5}, PrefetchHint::kGuess);
  bank->prefetch(0, std::array<uint32_t, 2>{1, 2}, PrefetchHint::kNext);
  hold = false;
  first.join();
  touch(*bank.bank, 0, {1, 2});
  touch(*bank.bank, 1, {5});
  ASSERT_EQ(order.size(), 4U);
  EXPECT_EQ(order.back(), (ExpertId{1, 5}));
}

TEST(ExpertBank, ThreadsMayAcquireAndReleaseAsTheyLike) {
  const BankWithScript bank({24, 24, 24}, 40, {.top_k = 4, .lanes = 4},
                            [](ReadScript& script) { script.fail_every = 101; });
  std::atomic<int> failures{0};
  std::vector<std::jthread> threads;
  for (uint32_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int step = 0; step < 300; ++step) {
        const uint32_t layer = random() % 3;
        const auto experts = some_of(random, 24, 1 + random() % 5);
        if (random() % 4 == 0) bank->prefetch(random() % 3, experts, PrefetchHint::kNext);
        try {
          ExpertLease lease =
              bank->acquire(layer, experts, random() % 4 == 0 ? ExpertUse::kPrefill : ExpertUse::kDecode);
          expect_contents(lease, layer, experts);
        } catch (const Error&) {
          ++failures;
        }
        if (step % 50 == 0) bank->status();
      }
    });
  }
  threads.clear();
  const ExpertStatus status = bank->status();
  EXPECT_LE(status.held, status.slots);
  EXPECT_GT(status.total.hits, 0U);
}

// GCC defines macros, Clang answers a question.
#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) || \
    __has_feature(thread_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// The budget holds where it counts: in what the process has resident.
TEST(ExpertBank, MemoryStaysWithinTheBudget) {
  if (kSanitized) GTEST_SKIP() << "sanitizers keep shadow memory";
  auto source = std::make_unique<MadeUpSource>(std::vector<uint32_t>{48, 48}, 16384);
  const uint64_t record = source->layers().front().record.size;  // 1.6 MB
  const uint64_t budget = 24 * record;
  const uint64_t before = read_process_memory().rss_anon;
  ExpertBank bank(std::move(source), {.budget_bytes = budget, .top_k = 8});
  std::mt19937 random(3);
  for (int step = 0; step < 60; ++step) touch(bank, random() % 2, some_of(random, 48, 8));
  const uint64_t grown = read_process_memory().rss_anon - before;
  EXPECT_EQ(bank.status().held, bank.status().slots);
  EXPECT_GE(grown, budget / 2);
  EXPECT_LE(grown, budget + budget / 20 + (uint64_t{2} << 20)) << "5 %, and the threads' own";
}

// A lease may outlast the thread that took it.
TEST(ExpertBank, LeasesEndOnAnyThread) {
  const BankWithScript bank({8}, 4, {.top_k = 4});
  auto lease = std::make_unique<ExpertLease>(bank->acquire(0, std::array<uint32_t, 4>{0, 1, 2, 3}));
  std::jthread waiter([&] { touch(*bank.bank, 0, {4, 5, 6, 7}); });  // no slot before the lease ends
  std::jthread releaser([&] { lease.reset(); });
  waiter.join();
  EXPECT_TRUE(bank->holds({0, 7}));
}

}  // namespace
}  // namespace mach
