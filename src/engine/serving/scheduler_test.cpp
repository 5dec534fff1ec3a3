// What each pass advances, pass by pass, over a model that tells from a sequence's whole past what comes next.
#include "engine/serving/scheduler.h"

#include <numeric>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/serving/loop_fixture.h"

namespace mach {
namespace {

using ::testing::ElementsAre;
using testing::EventLog;
using ::testing::HasSubstr;
using testing::LoopFixture;
using Record = testing::FakeModel::PassRecord;

constexpr Record kDecode{1, LogitsWanted::kLast};

std::vector<TokenId> count(TokenId first, size_t n) {
  std::vector<TokenId> ids(n);
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

class SchedulerTest : public ::testing::Test {
 protected:
  Scheduler& start(const EngineLoopOptions& options) {
    options_ = options;
    scheduler_.emplace(f.parts(), options, Logger());
    return *scheduler_;
  }
  // A request for `max_tokens` tokens after `prompt`, with a log of its own.
  EventLog& add(std::vector<TokenId> prompt, uint32_t max_tokens, uint32_t choices = 1) {
    EventLog& log = *logs_.emplace_back(std::make_unique<EventLog>());
    EngineRequest request = f.request(std::move(prompt), max_tokens, log);
    request.choices = choices;
    scheduler_->add(std::make_shared<ActiveRequest>(++last_id, std::move(request), f.tokenizer, 4096,
                                                    options_.context_length));
    return log;
  }
  void run_to_end() {
    for (int i = 0; i < 10000 && !scheduler_->idle(); ++i) scheduler_->step();
    ASSERT_TRUE(scheduler_->idle());
    EXPECT_EQ(scheduler_->open_requests(), 0U);
  }

  LoopFixture f;
  RequestId last_id = 0;

 private:
  EngineLoopOptions options_;
  std::optional<Scheduler> scheduler_;
  std::vector<std::unique_ptr<EventLog>> logs_;
};

TEST_F(SchedulerTest, EventsOfARequestComeInOrder) {
  start({.prefill_chunk = 4});
  EventLog& log = add(count(10, 6), 2);
  run_to_end();
  const auto events = log.events();
  ASSERT_EQ(events.size(), 7U);
  EXPECT_EQ(std::get<StartedEvent>(events[0]).prompt_tokens, 6U);
  EXPECT_EQ(std::get<ProgressEvent>(events[1]).done, 4U);
  EXPECT_EQ(std::get<ProgressEvent>(events[2]).done, 6U);
  EXPECT_EQ(std::get<PieceEvent>(events[3]).piece.token.id, 16);
  EXPECT_EQ(std::get<PieceEvent>(events[4]).piece.token.id, 17);
  EXPECT_EQ(std::get<ChoiceEndEvent>(events[5]).reason, FinishReason::kLength);
  const auto& end = std::get<RequestEndEvent>(events[6]);
  EXPECT_FALSE(end.error);
  EXPECT_EQ(end.usage.prompt_tokens, 6U);
  EXPECT_EQ(end.usage.generated_tokens, 2U);
}

TEST_F(SchedulerTest, OnePassAdvancesAllThatGenerateAndAPartOfAPrompt) {
  Scheduler& s = start({.parallel = 3, .prefill_chunk = 100, .interleaved_chunk = 8});
  add({1}, 50);
  add({2}, 50);
  s.step();  // both prompts
  add(count(100, 20), 5);
  f.model.batches.clear();
  s.step();
  s.step();
  s.step();
  EXPECT_THAT(f.model.batches, ElementsAre(ElementsAre(kDecode, kDecode, Record{8, LogitsWanted::kNone}),
                                           ElementsAre(kDecode, kDecode, Record{8, LogitsWanted::kNone}),
                                           ElementsAre(kDecode, kDecode, Record{4, LogitsWanted::kLast})));
  EXPECT_EQ(s.stats().running, 3U);
  run_to_end();
}

TEST_F(SchedulerTest, WaitingRequestsStartInTheirOrderWhenASequenceEnds) {
  Scheduler& s = start({.parallel = 2});
  EventLog& first = add({1}, 2);
  add({2}, 9);
  EventLog& third = add({3}, 2);
  EventLog& fourth = add({4}, 2);
  s.step();
  EXPECT_EQ(s.waiting_requests(), 2U);
  EXPECT_TRUE(third.events().empty());
  s.step();
  EXPECT_TRUE(first.end());
  s.step();
  EXPECT_FALSE(third.events().empty());
  EXPECT_TRUE(fourth.events().empty());
  run_to_end();
  EXPECT_THAT(third.tokens(), ElementsAre(4, 5));
  EXPECT_THAT(fourth.tokens(), ElementsAre(5, 6));
}

TEST_F(SchedulerTest, ChoicesShareOnePassOverThePrompt) {
  start({.parallel = 2});
  EventLog& log = add(count(20, 30), 3, 5);
  run_to_end();
  for (uint32_t choice = 0; choice < 5; ++choice) EXPECT_THAT(log.tokens(choice), ElementsAre(50, 51, 52));
  EXPECT_EQ(log.of<ChoiceEndEvent>().size(), 5U);
  EXPECT_EQ(log.end()->usage.generated_tokens, 15U);
  uint32_t prompt_passes = 0;
  for (const Record& pass : f.model.passes) prompt_passes += pass.tokens > 1 ? 1 : 0;
  EXPECT_EQ(prompt_passes, 1U);
}

TEST_F(SchedulerTest, FurtherChoicesLineUpBehindWaitingRequests) {
  start({.parallel = 1});
  std::vector<TokenId> order;
  f.model.next = [&](std::span<const int32_t> tokens) {
    order.push_back(tokens.back());
    return tokens.back() + 1;
  };
  add({1}, 2, 3);
  add({70}, 2);
  run_to_end();
  EXPECT_THAT(order, ElementsAre(1, 2, 70, 71, 2, 2));
}

TEST_F(SchedulerTest, AThrowingStepEndsItsRequestOnly) {
  Scheduler& s = start({.parallel = 3});
  f.model.poisoned_token = 33;
  EventLog& good = add({1}, 6);
  EventLog& bad = add({30}, 9);
  EventLog& other = add({50}, 6);
  run_to_end();
  ASSERT_TRUE(bad.end());
  ASSERT_TRUE(bad.end()->error);
  EXPECT_EQ(bad.end()->error->code(), ErrorCode::kIo);
  EXPECT_THAT(bad.end()->error->what(), HasSubstr("expert 33"));
  EXPECT_THAT(bad.tokens(), ElementsAre(31, 32, 33));  // what came before the pass that threw
  EXPECT_THAT(good.tokens(), ElementsAre(2, 3, 4, 5, 6, 7));
  EXPECT_THAT(other.tokens(), ElementsAre(51, 52, 53, 54, 55, 56));
  EXPECT_EQ(s.stats().failed, 1U);
  EXPECT_EQ(s.stats().completed, 2U);
}

TEST_F(SchedulerTest, CancelEndsARequestWhereverItStands) {
  Scheduler& s = start({.parallel = 1, .prefill_chunk = 4});
  EventLog& running = add(count(1, 10), 9, 2);
  const RequestId running_id = last_id;
  EventLog& waiting = add({3}, 9);
  s.step();
  s.cancel(last_id);
  EXPECT_EQ(waiting.end()->error->code(), ErrorCode::kCancelled);
  s.cancel(running_id);
  EXPECT_EQ(running.end()->error->code(), ErrorCode::kCancelled);
  EXPECT_EQ(running.of<ProgressEvent>().back().done, 4U);
  EXPECT_TRUE(s.idle());
  s.cancel(99);
  EXPECT_EQ(s.stats().cancelled, 2U);
}

TEST_F(SchedulerTest, ASinkThatThrowsCancelsItsRequest) {
  Scheduler& s = start({});
  EventLog log;
  EngineRequest request = f.request({1}, 1000, log);
  request.events = [](const EngineEvent& event) {
    if (std::holds_alternative<PieceEvent>(event)) throw std::runtime_error("gone");
  };
  s.add(std::make_shared<ActiveRequest>(5, std::move(request), f.tokenizer, 4096, 8192));
  s.step();
  EXPECT_TRUE(s.idle());
  EXPECT_EQ(s.stats().cancelled, 1U);
}

TEST_F(SchedulerTest, TheContextEndsAReply) {
  start({.context_length = 6});
  EventLog& log = add({1, 2, 3}, 100);
  run_to_end();
  EXPECT_THAT(log.tokens(), ElementsAre(4, 5, 6, 7));  // the last one needs no place
  EXPECT_EQ(log.of<ChoiceEndEvent>().at(0).reason, FinishReason::kLength);
}

TEST_F(SchedulerTest, APromptAloneIsProcessedWithoutAReply) {
  EventLog log;
  EngineRequest request = f.request(count(1, 20), 5, log);
  request.prefill_only = true;
  start({.prefill_chunk = 8})
      .add(std::make_shared<ActiveRequest>(1, std::move(request), f.tokenizer, 4096, 8192));
  run_to_end();
  EXPECT_TRUE(log.of<PieceEvent>().empty());
  EXPECT_EQ(log.of<ProgressEvent>().back().done, 20U);
  EXPECT_FALSE(log.end()->error);
  for (const Record& pass : f.model.passes) EXPECT_EQ(pass.logits, LogitsWanted::kNone);
}

// Allows even ids only.
class EvenIds final : public TokenConstraint {
 public:
  std::span<const uint32_t> allowed() override {
    mask_.assign(128, 0x55555555U);
    return mask_;
  }
  void accept(TokenId id) override {
    if (id % 2 != 0) throw Error(ErrorCode::kInternal, "odd");
  }
  void rollback(size_t) override {}
  bool can_stop() const override { return true; }
  std::unique_ptr<TokenConstraint> clone() const override { return std::make_unique<EvenIds>(*this); }

 private:
  std::vector<uint32_t> mask_;
};

class Broken final : public TokenConstraint {
 public:
  std::span<const uint32_t> allowed() override {
    throw Error(ErrorCode::kInvalidRequest, "grammar: too deep");
  }
  void accept(TokenId) override {}
  void rollback(size_t) override {}
  bool can_stop() const override { return true; }
  std::unique_ptr<TokenConstraint> clone() const override { return std::make_unique<Broken>(); }
};

TEST_F(SchedulerTest, AConstraintSaysWhatMayBeChosen) {
  Scheduler& s = start({});
  EventLog log;
  EngineRequest request = f.request({1}, 4, log);
  request.choices = 2;
  request.constraint = std::make_unique<EvenIds>();
  s.add(std::make_shared<ActiveRequest>(1, std::move(request), f.tokenizer, 4096, 8192));
  run_to_end();
  for (const uint32_t choice : {0U, 1U}) {
    EXPECT_EQ(log.tokens(choice).size(), 4U);
    for (const TokenId id : log.tokens(choice)) EXPECT_EQ(id % 2, 0);
  }
}

TEST_F(SchedulerTest, AConstraintThatThrowsEndsItsRequest) {
  Scheduler& s = start({});
  EventLog log;
  EngineRequest request = f.request({1}, 4, log);
  request.constraint = std::make_unique<Broken>();
  s.add(std::make_shared<ActiveRequest>(1, std::move(request), f.tokenizer, 4096, 8192));
  EventLog& other = add({1}, 3);
  run_to_end();
  EXPECT_THAT(log.end()->error->what(), HasSubstr("too deep"));
  EXPECT_EQ(other.tokens().size(), 3U);
}

}  // namespace
}  // namespace mach
