// For tests: a JobQueue that answers each request with a text, at once or when the test says so, and a reader of replies.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "server/http.h"
#include "server/job_queue.h"
#include "text/tokenizer/detokenizer.h"

namespace mach::server::testing {

class ScriptedQueue final : public JobQueue {
 public:
  explicit ScriptedQueue(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  std::vector<std::string> answers = {"Hello."};  // of choice i; the last one for all that follow
  FinishReason finish = FinishReason::kStop;
  std::string matched_stop;
  bool hold = false;  // requests wait for play()
  std::optional<Error> refuse;
  std::optional<Error> fail;  // after the text

  RequestId submit(EngineRequest request) override {
    if (refuse) throw Error(*refuse);
    const RequestId id = ++last_id;
    requests.push_back(std::move(request));
    if (!hold) play(id);
    return id;
  }

  void cancel(RequestId id) noexcept override {
    cancelled.insert(id);
    if (ended_.contains(id)) return;
    if (hold) end(id, Error(ErrorCode::kCancelled, "cancelled"), 0);
  }

  // Runs a request that was held.
  void play(RequestId id) {
    EngineRequest& request = requests[id - 1];
    const auto prompt = static_cast<uint32_t>(request.prompt.size());
    request.events(StartedEvent{prompt, cached_tokens});
    request.events(ProgressEvent{prompt, prompt});
    uint32_t total = 0;
    for (uint32_t choice = 0; choice < request.choices && !request.prefill_only; ++choice) {
      const uint32_t count = write(id, choice, answers[std::min<size_t>(choice, answers.size() - 1)]);
      total += count;
      if (fail || cancelled.contains(id)) break;
      std::optional<std::string> stop;
      if (!matched_stop.empty()) stop = matched_stop;
      request.events(ChoiceEndEvent{choice, finish, stop, count});
    }
    if (cancelled.contains(id)) return end(id, Error(ErrorCode::kCancelled, "cancelled"), total);
    end(id, fail, total);
  }

  // A part of a held request's answer.
  uint32_t write(RequestId id, uint32_t choice, const std::string& text) {
    const auto ids = tokenizer_.encode(text, EncodeOptions{.add_special_tokens = false});
    Detokenizer detokenizer(tokenizer_);
    for (const TokenId token : ids) {
      TextPiece piece;
      piece.token.id = token;
      piece.token.logprob = -0.5F;
      piece.token.top = {{token, -0.5F}};
      piece.text = detokenizer.push(token);
      requests[id - 1].events(PieceEvent{choice, std::move(piece)});
    }
    return static_cast<uint32_t>(ids.size());
  }

  void end(RequestId id, std::optional<Error> error, uint32_t generated) {
    if (!ended_.insert(id).second) return;
    RequestEndEvent event;
    event.error = std::move(error);
    event.usage = {static_cast<uint32_t>(requests[id - 1].prompt.size()), cached_tokens, generated};
    event.timings = {0.25, 0.5, 1};
    requests[id - 1].events(std::move(event));
  }

  void forget() {
    requests.clear();
    cancelled.clear();
    ended_.clear();
    last_id = 0;
  }

  bool batched() const noexcept override { return true; }
  nlohmann::ordered_json stats() const override { return {{"running", 1}, {"requests", {{"completed", 2}}}}; }
  nlohmann::ordered_json cache_stats() const override { return {{"prefix_cache", {{"enabled", true}}}}; }

  uint32_t cached_tokens = 3;
  std::vector<EngineRequest> requests;
  std::set<RequestId> cancelled;
  RequestId last_id = 0;

 private:
  const Tokenizer& tokenizer_;
  std::set<RequestId> ended_;
};

// Pulls a reply to its end as a connection does.
struct ReadReply {
  ResponseHead head;
  std::string body;
  bool complete = false;

  explicit ReadReply(Reply& reply) {
    bool woken = false;
    reply.start([&woken] { woken = true; });
    for (int i = 0; i < 1000 && !complete; ++i) {
      ReplyPart part = reply.pull(Clock::now());
      if (part.head) head = *part.head;
      body += part.body;
      complete = part.last;
      if (!woken && part.body.empty() && !part.last) break;  // nothing more will come
      woken = false;
    }
  }

  nlohmann::ordered_json json() const { return nlohmann::ordered_json::parse(body); }
  const std::string* header(std::string_view name) const {
    for (const HttpHeader& one : head.headers) {
      if (same_name(one.name, name)) return &one.value;
    }
    return nullptr;
  }

  struct Event {
    std::string name;
    std::string data;
    nlohmann::ordered_json json() const { return nlohmann::ordered_json::parse(data); }
  };
  // The server-sent events, comments left out.
  std::vector<Event> events() const {
    std::vector<Event> all;
    for (size_t at = 0; at < body.size();) {
      const size_t end = std::min(body.find("\n\n", at), body.size());
      Event event;
      for (size_t line = at; line < end;) {
        const size_t stop = std::min(body.find('\n', line), end);
        const std::string text = body.substr(line, stop - line);
        if (text.starts_with("event: ")) event.name = text.substr(7);
        if (text.starts_with("data: ")) event.data = text.substr(6);
        line = stop + 1;
      }
      if (!event.data.empty()) all.push_back(std::move(event));
      at = end + 2;
    }
    return all;
  }
};

}  // namespace mach::server::testing
