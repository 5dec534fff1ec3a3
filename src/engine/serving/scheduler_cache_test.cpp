// The scheduler with its prefix cache: whatever is reused, evicted, cancelled or read back from disk, a request's tokens
// are those that follow from its whole past. The model hashes that past, so a state with anything wrong in it shows.
#include <algorithm>
#include <deque>
#include <random>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/serving/loop_fixture.h"
#include "engine/serving/scheduler.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

using testing::EventLog;
using testing::LoopFixture;
using Tokens = std::vector<TokenId>;

TokenId hash_of(std::span<const TokenId> tokens) {
  uint64_t hash = 1469598103934665603ULL;
  for (const TokenId token : tokens) hash = (hash ^ static_cast<uint64_t>(token)) * 1099511628211ULL;
  return static_cast<TokenId>(10 + hash % 1000);
}

Tokens reply_to(Tokens tokens, uint32_t count) {
  const size_t prompt = tokens.size();
  for (uint32_t i = 0; i < count; ++i) tokens.push_back(hash_of(tokens));
  return {tokens.begin() + static_cast<ptrdiff_t>(prompt), tokens.end()};
}

struct Case {
  const char* name;
  bool keeps_every_position;
  bool disk;
};

class SchedulerCache : public ::testing::TestWithParam<Case> {
 protected:
  SchedulerCache() {
    f.model.can_truncate = GetParam().keeps_every_position;
    f.model.next = hash_of;
  }
  std::unique_ptr<Scheduler> open(EngineLoopOptions options) {
    options.prefix_cache.block_size = 4;
    EngineLoop::Parts parts = f.parts();
    if (GetParam().disk) {
      parts.disk = std::make_unique<DiskTier>(
          DiskTier::Options{folder.path(), 40000, {1, 2}, [this] { return f.model.new_state(); }}, Logger());
    }
    return std::make_unique<Scheduler>(std::move(parts), options, Logger());
  }
  RequestId add(Scheduler& scheduler, Tokens prompt, uint32_t max_tokens, EventLog& log) {
    EngineRequest request = f.request(std::move(prompt), max_tokens, log);
    request.params.stop_ids = {5};
    scheduler.add(std::make_shared<ActiveRequest>(++last_id, std::move(request), f.tokenizer, 4096, 8192));
    return last_id;
  }
  uint32_t cached(Scheduler& scheduler, const Tokens& prompt) {
    EventLog log;
    add(scheduler, prompt, 3, log);
    while (!scheduler.idle()) scheduler.step();
    EXPECT_EQ(log.tokens(), reply_to(prompt, 3));
    return log.end()->usage.cached_tokens;
  }

  testing::TempDir folder;
  LoopFixture f;
  RequestId last_id = 0;
};

TEST_P(SchedulerCache, AConversationReusesItsPast) {
  const auto scheduler = open({});
  Tokens talk(30, 7);
  talk.push_back(5);  // the end of a turn
  talk.push_back(8);
  EXPECT_EQ(cached(*scheduler, talk), 0U);
  EXPECT_GE(cached(*scheduler, talk), 31U);  // the same again: from the end of its last turn, at least
  for (int turn = 0; turn < 3; ++turn) {
    const Tokens reply = reply_to(talk, 3);
    talk.insert(talk.end(), reply.begin(), reply.end());
    const auto held = static_cast<uint32_t>(talk.size()) - 1;
    talk.push_back(5);
    talk.push_back(9 + turn);
    EXPECT_EQ(cached(*scheduler, talk), held);
  }
}

TEST_P(SchedulerCache, APromptProcessedAheadIsReusedWhole) {
  const auto scheduler = open({});
  EventLog log;
  EngineRequest request = f.request(Tokens(50, 3), 1, log);
  request.prefill_only = true;
  scheduler->add(std::make_shared<ActiveRequest>(1, std::move(request), f.tokenizer, 4096, 8192));
  while (!scheduler->idle()) scheduler->step();
  Tokens prompt(50, 3);
  prompt.push_back(4);
  EXPECT_EQ(cached(*scheduler, prompt), 50U);
}

TEST_P(SchedulerCache, ClearedItStartsAnew) {
  const auto scheduler = open({});
  const Tokens prompt(40, 3);
  cached(*scheduler, prompt);
  scheduler->clear_prefix_cache();
  EXPECT_EQ(cached(*scheduler, prompt), 0U);
}

// Prompts grow out of each other and out of replies, are cancelled at any point, run beside others, and the cache is far
// too small for them; now and then everything is closed and opened again.
TEST_P(SchedulerCache, RandomTrafficGetsTheRightTokens) {
  EngineLoopOptions options{.parallel = 3, .prefill_chunk = 9, .interleaved_chunk = 4};
  options.prefix_cache = {.max_entries = 12, .max_bytes = 6000, .snapshot_interval = 16};
  std::mt19937 random(23);
  auto scheduler = open(options);
  std::vector<Tokens> past = {Tokens(20, 1)};
  uint64_t reused = 0;
  for (int round = 0; round < 60; ++round) {
    struct Sent {
      RequestId id = 0;
      Tokens prompt;
      uint32_t tokens = 0;
      bool cancelled = false;
      EventLog log;
    };
    std::deque<Sent> sent(8);
    for (Sent& one : sent) {
      one.prompt = past[random() % past.size()];
      one.prompt.resize(1 + random() % one.prompt.size());
      for (size_t i = random() % 30; i > 0; --i) one.prompt.push_back(static_cast<TokenId>(random() % 8));
      if (one.prompt.size() > 150) one.prompt.resize(150);
      one.tokens = 1 + static_cast<uint32_t>(random() % 9);
      one.id = add(*scheduler, one.prompt, one.tokens, one.log);
      for (size_t i = random() % 4; i > 0; --i) scheduler->step();
      if (random() % 5 == 0) {
        Sent& victim = sent[random() % sent.size()];
        victim.cancelled = true;
        scheduler->cancel(victim.id);
      }
      EXPECT_LE(scheduler->stats().prefix_cache.bytes, 6000U);
      EXPECT_LE(scheduler->stats().prefix_cache.entries, 12U);
    }
    while (!scheduler->idle()) scheduler->step();
    for (const Sent& one : sent) {
      ASSERT_TRUE(one.log.end());
      if (one.log.end()->error) {
        ASSERT_TRUE(one.cancelled);
        continue;
      }
      const Tokens reply = reply_to(one.prompt, one.tokens);
      ASSERT_EQ(one.log.tokens(), reply) << "round " << round;
      reused += one.log.end()->usage.cached_tokens;
      past.push_back(one.prompt);
      past.back().insert(past.back().end(), reply.begin(), reply.end());
    }
    if (round % 20 != 19) continue;
    scheduler->save_prefix_cache();
    scheduler.reset();
    scheduler = open(options);
  }
  EXPECT_GT(reused, 1000U);
  const PrefixCacheStats stats = scheduler->stats().prefix_cache;
  EXPECT_EQ(stats.disk_errors, 0U);
  if (GetParam().disk) {
    EXPECT_GT(stats.disk_files, 0U);
    EXPECT_LE(stats.disk_bytes, 40000U);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, SchedulerCache,
                         ::testing::Values(Case{"keeps_every_position", true, false},
                                           Case{"only_whole_entries", false, false},
                                           Case{"keeps_every_position_disk", true, true},
                                           Case{"only_whole_entries_disk", false, true}),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace mach
