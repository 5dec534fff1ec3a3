// For tests of the engine loop and of what uses it: a loop over a model without weights (fake_model.h) and the demo
// checkpoint's tokenizer. Set up `model` before the first start().
//
//   testing::LoopFixture f;
//   f.model.next = [](auto tokens) { return reply_after(tokens); };
//   EngineLoop& loop = f.start({.parallel = 2});
#pragma once

#include <memory>
#include <vector>

#include "engine/fake_model.h"
#include "engine/serving/engine_loop.h"
#include "engine/serving/event_log.h"
#include "model/workspace.h"
#include "support/shared_dir.h"
#include "text/tokenizer/tokenizer.h"

namespace mach::testing {

struct LoopFixture {
  static constexpr uint32_t kVocabulary = 4096;

  EngineLoop::Parts parts() { return {model, workspace, tokenizer, nullptr}; }
  EngineLoop& start(const EngineLoopOptions& options = {}) {
    loop = std::make_unique<EngineLoop>(parts(), options);
    return *loop;
  }

  EngineRequest request(std::vector<TokenId> prompt, uint32_t max_tokens, EventLog& log) const {
    EngineRequest request;
    request.prompt = std::move(prompt);
    request.params.vocabulary = kVocabulary;
    request.params.max_tokens = max_tokens;
    request.events = log.sink();
    return request;
  }

  FakeModel model{kVocabulary};
  ThreadPool pool{2};
  Workspace workspace{pool, *kernel_sets().back()};
  Tokenizer tokenizer = Tokenizer::open(source_dir() / "models/mini-qwen3_moe-mlx-4bit/tokenizer.json");
  std::unique_ptr<EngineLoop> loop;
};

}  // namespace mach::testing
