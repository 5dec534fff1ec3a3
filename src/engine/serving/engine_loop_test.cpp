// The loop with its thread: what other threads may do to it at any time.
#include "engine/serving/engine_loop.h"

#include <atomic>
#include <chrono>
#include <numeric>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/serving/loop_fixture.h"
#include "support/expect_error.h"

namespace mach {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using testing::EventLog;
using ::testing::HasSubstr;
using testing::LoopFixture;

TEST(EngineLoop, RunsARequestToItsEnd) {
  LoopFixture f;
  EngineLoop& loop = f.start();
  EventLog log;
  loop.submit(f.request({10, 15}, 3, log));
  ASSERT_TRUE(log.wait_for_end());
  EXPECT_THAT(log.tokens(), ElementsAre(16, 17, 18));
  EXPECT_EQ(log.text(), f.tokenizer.decode(std::vector<TokenId>{16, 17, 18}));
  EXPECT_TRUE(loop.drain(1s));
  EXPECT_EQ(loop.stats().completed, 1U);
  EXPECT_EQ(loop.stats().running, 0U);
}

TEST(EngineLoop, RefusesWhatCannotRun) {
  LoopFixture f;
  EngineLoop& loop = f.start({.context_length = 8});
  EventLog log;
  EXPECT_MACH_ERROR(loop.submit(f.request({}, 1, log)), ErrorCode::kInvalidRequest, HasSubstr("prompt"));
  EXPECT_MACH_ERROR(loop.submit(f.request(std::vector<TokenId>(9, 1), 1, log)), ErrorCode::kTooLarge,
                    "prompt: 9 tokens exceed the context length of 8");
  EXPECT_MACH_ERROR(loop.submit(f.request({1, 4096}, 1, log)), ErrorCode::kInvalidRequest,
                    "prompt: token 1 is 4096, outside the vocabulary [0, 4096)");
  EXPECT_MACH_ERROR(loop.submit(f.request({1}, 0, log)), ErrorCode::kInvalidRequest, HasSubstr("max_tokens"));
  EngineRequest many = f.request({1}, 1, log);
  many.choices = kMaxChoices + 1;
  EXPECT_MACH_ERROR(loop.submit(std::move(many)), ErrorCode::kInvalidRequest, HasSubstr("n: 129"));
  EXPECT_TRUE(log.events().empty());
  EXPECT_MACH_ERROR(EngineLoop(f.parts(), {.parallel = 0}), ErrorCode::kInvalidRequest,
                    HasSubstr("parallel"));
}

// The count of waiting requests is published once per pass, after the pass's events.
void wait_until_nobody_waits(const EngineLoop& loop) {
  while (loop.stats().waiting > 0) std::this_thread::yield();
}

TEST(EngineLoop, RefusesMoreThanMayWaitAndTakesThemLater) {
  LoopFixture f;
  f.model.pass_time = 200us;
  EngineLoop& loop = f.start({.parallel = 1, .max_waiting = 2, .context_length = 100000});
  EventLog running;
  const RequestId id = loop.submit(f.request({1}, 90000, running));
  ASSERT_TRUE(running.wait_for_pieces(1));
  wait_until_nobody_waits(loop);
  EventLog waiting[2];
  for (EventLog& log : waiting) loop.submit(f.request({1}, 1, log));
  EventLog refused;
  EXPECT_MACH_ERROR(loop.submit(f.request({1}, 1, refused)), ErrorCode::kOverloaded,
                    HasSubstr("2 requests are waiting"));
  EXPECT_EQ(loop.stats().waiting, 2U);
  EXPECT_EQ(loop.stats().rejected, 1U);
  loop.cancel(id);
  for (EventLog& log : waiting) EXPECT_TRUE(log.wait_for_end());
  wait_until_nobody_waits(loop);
  loop.submit(f.request({1}, 1, refused));
  EXPECT_TRUE(refused.wait_for_end());
}

TEST(EngineLoop, CancellationStopsWithinOneToken) {
  LoopFixture f;
  f.model.pass_time = 1ms;
  EngineLoop& loop = f.start();
  EventLog log;
  const RequestId id = loop.submit(f.request({1}, 5000, log));
  ASSERT_TRUE(log.wait_for_pieces(3));
  loop.cancel(id);
  const size_t pieces = log.of<PieceEvent>().size();
  ASSERT_TRUE(log.wait_for_end());
  EXPECT_EQ(log.end()->error->code(), ErrorCode::kCancelled);
  EXPECT_LE(log.of<PieceEvent>().size(), pieces + 1);
}

TEST(EngineLoop, DrainRefusesNewRequestsAndFinishesAcceptedOnes) {
  LoopFixture f;
  f.model.pass_time = 1ms;
  EngineLoop& loop = f.start({.parallel = 1});
  EventLog logs[3];
  for (EventLog& log : logs) loop.submit(f.request({1}, 5, log));
  EXPECT_TRUE(loop.drain(5s));
  for (EventLog& log : logs) EXPECT_FALSE(log.end()->error);
  EventLog late;
  EXPECT_MACH_ERROR(loop.submit(f.request({1}, 1, late)), ErrorCode::kOverloaded, HasSubstr("shutting down"));
}

TEST(EngineLoop, DrainCancelsWhatTakesTooLong) {
  LoopFixture f;
  f.model.pass_time = 1ms;
  EngineLoop& loop = f.start();
  EventLog log;
  loop.submit(f.request({1}, 5000, log));
  EXPECT_FALSE(loop.drain(10ms));
  EXPECT_EQ(log.end()->error->code(), ErrorCode::kCancelled);
}

TEST(EngineLoop, DestructionEndsEveryRequest) {
  EventLog logs[8];
  LoopFixture f;
  f.model.pass_time = 500us;
  EngineLoop& loop = f.start({.parallel = 2});
  for (EventLog& log : logs) loop.submit(f.request({1}, 5000, log));
  f.loop.reset();
  for (EventLog& log : logs) EXPECT_EQ(log.end()->error->code(), ErrorCode::kCancelled);
}

// Submits and cancels from several threads; every accepted request ends exactly once, and those that were not cancelled
// with the tokens they would have had alone.
TEST(EngineLoop, SurvivesRandomSubmissionsAndCancellationsFromSeveralThreads) {
  LoopFixture f;
  EngineLoop& loop = f.start({.parallel = 3, .max_waiting = 20, .prefill_chunk = 16, .interleaved_chunk = 4});
  std::atomic<uint32_t> accepted{0};
  std::atomic<uint32_t> refused{0};
  const auto client = [&](uint32_t seed) {
    struct Sent {
      EventLog log;
      TokenId first = 0;
      uint32_t tokens = 0;
      uint32_t choices = 0;
      bool cancelled = false;
    };
    std::mt19937 random(seed);
    std::vector<std::unique_ptr<Sent>> sent;
    for (int i = 0; i < 120; ++i) {
      auto one = std::make_unique<Sent>();
      one->first = static_cast<TokenId>(random() % 2000);
      one->tokens = 1 + static_cast<uint32_t>(random() % 12);
      one->choices = 1 + static_cast<uint32_t>(random() % 2);
      EngineRequest request =
          f.request(std::vector<TokenId>(1 + random() % 40, one->first), one->tokens, one->log);
      request.choices = one->choices;
      try {
        const RequestId id = loop.submit(std::move(request));
        ++accepted;
        one->cancelled = random() % 3 == 0;
        if (random() % 2 == 0) std::this_thread::yield();
        if (one->cancelled) loop.cancel(id);
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), ErrorCode::kOverloaded);
        ++refused;
        std::this_thread::sleep_for(1ms);
        continue;
      }
      if (random() % 2 == 0) static_cast<void>(loop.stats());
      if (random() % 4 == 0) {
        EXPECT_TRUE(one->log.wait_for_end());
      }
      sent.push_back(std::move(one));
    }
    for (const auto& one : sent) {
      ASSERT_TRUE(one->log.wait_for_end());
      EXPECT_EQ(one->log.of<RequestEndEvent>().size(), 1U);
      if (one->log.end()->error) {
        EXPECT_TRUE(one->cancelled);
        continue;
      }
      std::vector<TokenId> expected(one->tokens);
      std::iota(expected.begin(), expected.end(), one->first + 1);
      for (uint32_t choice = 0; choice < one->choices; ++choice) EXPECT_EQ(one->log.tokens(choice), expected);
    }
  };
  std::vector<std::thread> clients;
  for (uint32_t seed = 1; seed <= 4; ++seed) clients.emplace_back(client, seed);
  for (std::thread& thread : clients) thread.join();
  EXPECT_TRUE(loop.drain(1s));
  const EngineLoopStats stats = loop.stats();
  EXPECT_EQ(stats.submitted, accepted);
  EXPECT_EQ(stats.rejected, refused);
  EXPECT_EQ(stats.completed + stats.cancelled + stats.failed, accepted);
  EXPECT_EQ(stats.failed, 0U);
  EXPECT_GT(stats.completed, 0U);
}

}  // namespace
}  // namespace mach
