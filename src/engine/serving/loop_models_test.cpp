// The scheduler over real models of every family, in exact mode: the tokens and log-probabilities of a request depend
// neither on what else is running nor on what the prefix cache had of its prompt.
#include <algorithm>
#include <deque>
#include <optional>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "base/cpu_features.h"
#include "engine/serving/event_log.h"
#include "engine/serving/scheduler.h"
#include "kernels/kernel_set.h"
#include "model/model.h"
#include "model/workspace.h"
#include "support/shared_dir.h"
#include "text/tokenizer/tokenizer.h"

namespace mach {
namespace {

using testing::EventLog;
using Tokens = std::vector<TokenId>;

struct Answer {
  Tokens ids;
  std::vector<float> logprobs;  // of the chosen token and the likeliest ones, token after token
  uint32_t cached = 0;
  bool operator==(const Answer& other) const { return ids == other.ids && logprobs == other.logprobs; }
};

Answer answer_of(const EventLog& log) {
  Answer answer;
  for (const PieceEvent& event : log.of<PieceEvent>()) {
    if (event.piece.token.id < 0) continue;  // the decoder's rest
    answer.ids.push_back(event.piece.token.id);
    answer.logprobs.push_back(event.piece.token.logprob);
    for (const TokenLogprob& top : event.piece.token.top) answer.logprobs.push_back(top.logprob);
  }
  EXPECT_TRUE(log.end() && !log.end()->error) << log.end()->error->what();
  answer.cached = log.end()->usage.cached_tokens;
  return answer;
}

class LoopModels : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto shared = testing::shared_dir();
    if (!shared) GTEST_SKIP() << testing::kNoSharedDir;
    model = Model::open(*shared / GetParam(), {.numerics = Numerics::kExact});
    workspace.set_numerics(Numerics::kExact);
    vocabulary = std::min(model->config().vocab_size, static_cast<uint32_t>(tokenizer.vocab_size()));
  }

  Tokens random_tokens(size_t n) {
    Tokens tokens(n);
    for (TokenId& token : tokens) token = static_cast<TokenId>(random() % vocabulary);
    return tokens;
  }
  Scheduler scheduler(const EngineLoopOptions& options) {
    return {{*model, workspace, tokenizer, nullptr}, options, Logger()};
  }
  void add(Scheduler& scheduler, Tokens prompt, uint32_t max_tokens, EventLog& log) {
    EngineRequest request;
    request.prompt = std::move(prompt);
    request.params.vocabulary = vocabulary;
    request.params.max_tokens = max_tokens;
    request.params.sampling.temperature = 1;
    request.params.sampling.seed = 5;
    request.params.sampling.logprobs = 40;
    request.events = log.sink();
    scheduler.add(std::make_shared<ActiveRequest>(++last_id, std::move(request), tokenizer,
                                                  model->config().vocab_size, 100000));
  }
  Answer ask(Scheduler& scheduler, Tokens prompt, uint32_t max_tokens = 6) {
    EventLog log;
    add(scheduler, std::move(prompt), max_tokens, log);
    while (!scheduler.idle()) scheduler.step();
    return answer_of(log);
  }
  Answer ask_cold(Tokens prompt, uint32_t max_tokens = 6) {
    Scheduler fresh = scheduler({.prefix_cache = {.enabled = false}});
    return ask(fresh, std::move(prompt), max_tokens);
  }

  RequestId last_id = 0;
  std::mt19937 random{17};
  ThreadPool pool{2};
  Workspace workspace{pool, select_kernel_set(probe_cpu_features(), "")};
  Tokenizer tokenizer =
      Tokenizer::open(testing::source_dir() / "models/mini-qwen3_moe-mlx-4bit/tokenizer.json");
  std::unique_ptr<Model> model;
  uint32_t vocabulary = 0;
};

TEST_P(LoopModels, AnswersDoNotDependOnWhatElseRuns) {
  std::vector<Tokens> prompts;
  std::vector<Answer> alone;
  for (const size_t n : {3U, 90U, 41U, 150U, 1U, 64U}) {
    prompts.push_back(random_tokens(n));
    alone.push_back(ask_cold(prompts.back(), 12));
  }
  Scheduler together = scheduler({.parallel = 4, .prefill_chunk = 50, .interleaved_chunk = 7});
  std::deque<EventLog> logs;
  for (const Tokens& prompt : prompts) {
    add(together, prompt, 12, logs.emplace_back());
    together.step();
  }
  while (!together.idle()) together.step();
  for (size_t i = 0; i < prompts.size(); ++i) EXPECT_EQ(answer_of(logs[i]), alone[i]) << "prompt " << i;
}

TEST_P(LoopModels, AHitGivesTheLogitsOfAColdRun) {
  Scheduler warm =
      scheduler({.prefill_chunk = 48, .prefix_cache = {.block_size = 8, .snapshot_interval = 32}});
  const Tokens prompt = random_tokens(150);
  const auto grown = [&](size_t keep, size_t more) {
    Tokens tokens(prompt.begin(), prompt.begin() + static_cast<ptrdiff_t>(keep));
    const Tokens tail = random_tokens(more);
    tokens.insert(tokens.end(), tail.begin(), tail.end());
    return tokens;
  };
  EXPECT_EQ(ask(warm, prompt).cached, 0U);

  const auto check = [&](const char* what, const Tokens& tokens, uint32_t at_least) {
    const Answer hit = ask(warm, tokens);
    EXPECT_EQ(hit, ask_cold(tokens)) << what;
    EXPECT_GE(hit.cached, at_least) << what;
    return hit;
  };
  check("the same again", prompt, 128);
  check("with more behind it", grown(150, 30), 128);
  const Tokens parted = grown(70, 30);
  check("parts from it", parted, 64);
  check("parts at the same place", grown(70, 12), 70);
  // A conversation: the reply is part of the next prompt.
  Tokens talk = parted;
  for (int turn = 0; turn < 3; ++turn) {
    const Answer reply = ask_cold(talk);
    const auto held =
        static_cast<uint32_t>(talk.size() + reply.ids.size() - 1);  // the last token needs no pass
    ask(warm, talk);
    talk.insert(talk.end(), reply.ids.begin(), reply.ids.end());
    const Tokens user = random_tokens(9);
    talk.insert(talk.end(), user.begin(), user.end());
    check("next turn", talk, held);
  }
}

TEST_P(LoopModels, WhatACancelledRequestComputedIsReused) {
  Scheduler warm =
      scheduler({.prefill_chunk = 40, .prefix_cache = {.block_size = 8, .snapshot_interval = 0}});
  const Tokens prompt = random_tokens(150);
  EventLog log;
  add(warm, prompt, 6, log);
  warm.step();
  warm.step();
  warm.cancel(last_id);
  const Answer hit = ask(warm, prompt);
  EXPECT_EQ(hit.cached, 80U);
  EXPECT_EQ(hit, ask_cold(prompt));
}

TEST_P(LoopModels, ChoicesOfAPromptAreThoseOfTheirSeeds) {
  Scheduler together = scheduler({.parallel = 2, .prefix_cache = {.enabled = false}});
  const Tokens prompt = random_tokens(60);
  EventLog log;
  EngineRequest request;
  request.prompt = prompt;
  request.params = {.vocabulary = vocabulary, .max_tokens = 5};
  request.params.sampling.temperature = 1;
  request.params.sampling.seed = 4;
  request.choices = 3;
  request.events = log.sink();
  together.add(
      std::make_shared<ActiveRequest>(1, std::move(request), tokenizer, model->config().vocab_size, 1000));
  while (!together.idle()) together.step();
  EXPECT_EQ(log.tokens(1), ask_cold(prompt, 5).ids);  // that asks with seed 5
  EXPECT_EQ(log.tokens(2).size(), 5U);
}

std::string name_of(const ::testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  name = name.substr(name.rfind('/') + 1) + (name.starts_with("fixtures") ? "_nano" : "");
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == '-' || c == '.'; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Nano, LoopModels,
                         ::testing::Values("fixtures/nano/qwen3_moe", "fixtures/nano/qwen3_moe-mlx-4bit",
                                           "fixtures/nano/qwen3_5_moe", "fixtures/nano/gpt_oss",
                                           "fixtures/nano/gpt_oss-mxfp4", "fixtures/nano/gemma4",
                                           "fixtures/nano/deepseek_v4"),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Mini, LoopModels,
                         ::testing::Values("models/mini-qwen3_moe", "models/mini-qwen3_5_moe",
                                           "models/mini-gpt_oss", "models/mini-gemma4",
                                           "models/mini-deepseek_v4"),
                         name_of);

}  // namespace
}  // namespace mach
