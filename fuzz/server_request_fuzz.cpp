// Request bodies of every endpoint, from arbitrary bytes to the engine's admission: JSON, fields, conversion of messages,
// chat template, tokenizer. A refusal must be an error object with a status; what is accepted must be a request that the
// engine loop could take. The demo checkpoint is used if it is there, else nothing is tested.
// Input: byte 0 chooses the endpoint, the rest is the body.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include "server/api.h"
#include "server/scripted_queue.h"

namespace {

using mach::server::testing::ReadReply;
using mach::server::testing::ScriptedQueue;

void require(bool condition) {
  if (!condition) std::abort();
}

struct Target {
  Target()
      : engine(mach::LoadedEngine::open(MACH_SOURCE_DIR "/models/mini-qwen3_moe-mlx-4bit", {})),
        model(*engine, "demo"),
        queue(engine->tokenizer()),
        api(model, queue, {}, {}),
        router(api.routes(), {}, {}) {}

  std::unique_ptr<mach::LoadedEngine> engine;
  mach::server::ServedModel model;
  ScriptedQueue queue;
  mach::server::Api api;
  mach::server::Router router;
};

void check_accepted(const mach::EngineRequest& request, const Target& target) {
  require(!request.prompt.empty() && request.prompt.size() < target.model.context_length());
  require(request.choices >= 1 && request.choices <= mach::kMaxChoices);
  for (const mach::TokenId id : request.prompt) {
    require(id >= 0 && id < static_cast<mach::TokenId>(target.engine->info().vocab_size));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Target target;
  constexpr const char* kPaths[] = {
      "/v1/chat/completions",      "/v1/completions",       "/v1/responses", "/v1/messages",
      "/v1/messages/count_tokens", "/v1/cache/warm_prefix", "/v1/tokenize",  "/v1/detokenize"};
  if (size < 1) return 0;
  mach::server::HttpRequest request;
  request.method = "POST";
  request.path = kPaths[data[0] % std::size(kPaths)];
  request.body.assign(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto reply = target.router.handle(request);
  const ReadReply read(*reply);
  require(read.complete && read.head.status >= 200 && read.head.status < 500);
  if (read.head.status != 200) require(read.json().contains("error"));
  for (const mach::EngineRequest& accepted : target.queue.requests) check_accepted(accepted, target);
  target.queue.forget();
  return 0;
}
