#include "text/chat/output_parser.h"

#include <random>
#include <utility>

namespace mach {

std::string_view finish_reason(FinishHint hint) {
  switch (hint) {
    case FinishHint::kToolCalls:
      return "tool_calls";
    case FinishHint::kLength:
      return "length";
    case FinishHint::kStop:
      break;
  }
  return "stop";
}

CallIdGenerator random_call_ids(uint64_t seed) {
  return [engine = std::mt19937_64(seed)]() mutable {
    constexpr std::string_view kLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    std::string id = "call_";
    for (int i = 0; i < 24; ++i) id.push_back(kLetters[engine() % kLetters.size()]);
    return id;
  };
}

void WholeCalls::on_event(const OutputEvent& event) {
  using Kind = OutputEvent::Kind;
  switch (event.kind) {
    case Kind::kContent:
    case Kind::kReasoning:
      next_.on_event(event);
      return;
    case Kind::kCallStarted:
      open_ = ToolCall{std::string(event.id), std::string(event.text), ""};
      return;
    case Kind::kCallArguments:
      open_.arguments.append(event.text);
      return;
    case Kind::kCallAbandoned:
      return;
    case Kind::kCallFinished:
      break;
  }
  next_.on_event({Kind::kCallStarted, finished_, open_.id, open_.name});
  next_.on_event({Kind::kCallArguments, finished_, {}, open_.arguments});
  next_.on_event({Kind::kCallFinished, finished_, {}, {}});
  ++finished_;
}

}  // namespace mach
