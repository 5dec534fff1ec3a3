#include "server/reply_parser.h"

#include <algorithm>
#include <utility>

namespace mach::server {

class ReplyParser::Sink final : public EventSink {
 public:
  explicit Sink(ReplyParser& owner) : owner_(owner), whole_(*this) {}
  EventSink& entry() { return whole_; }
  void on_event(const OutputEvent& event) override { owner_.take_event(event); }

 private:
  ReplyParser& owner_;
  WholeCalls whole_;
};

ReplyParser::ReplyParser(ReplyParserOptions options)
    : options_(std::move(options)), sink_(std::make_unique<Sink>(*this)) {
  if (options_.format != nullptr) parser_ = make_output_parser(*options_.format, options_.parser);
  if (options_.format != nullptr && options_.parser.starts_in_reasoning) {
    last_kind_ = ReplyDelta::Kind::kReasoning;
  }
}

ReplyParser::~ReplyParser() = default;

std::vector<ReplyDelta> ReplyParser::push(const std::vector<TextPiece>& pieces) {
  for (const TextPiece& piece : pieces) {
    if (wants_end_) break;
    if (options_.tokenizer != nullptr && piece.token.id >= 0 &&
        !options_.tokenizer->is_special(piece.token.id)) {
      unclaimed_.push_back({piece.token.id, piece.text, piece.token.logprob, piece.token.top});
    }
    if (parser_) {
      parser_->push({piece.token.id, piece.text}, sink_->entry());
    } else if (!piece.text.empty()) {
      emit_text(ReplyDelta::Kind::kContent, piece.text);
    }
    if (last_kind_ == ReplyDelta::Kind::kReasoning && piece.token.id >= 0) ++message_.reasoning_tokens;
  }
  return std::exchange(deltas_, {});
}

std::vector<ReplyDelta> ReplyParser::finish(FinishReason finish) {
  const bool stopped = finish == FinishReason::kStop || wants_end_;
  message_.finish_reason = finish_reason(stopped ? FinishHint::kStop : FinishHint::kLength);
  if (parser_) {
    const ParsedMessage parsed =
        parser_->finish(stopped ? Ending::kStopped : Ending::kCutOff, sink_->entry());
    // What was cut off ends for its length, whatever the text looks like: with ignore_eos it goes on behind an end marker.
    if (stopped) message_.finish_reason = finish_reason(parsed.finish);
    if (!message_.calls.empty() && stopped) message_.finish_reason = finish_reason(FinishHint::kToolCalls);
  }
  return std::exchange(deltas_, {});
}

void ReplyParser::take_event(const OutputEvent& event) {
  if (wants_end_) return;
  using Kind = OutputEvent::Kind;
  switch (event.kind) {
    case Kind::kContent:
      return emit_text(ReplyDelta::Kind::kContent, event.text);
    case Kind::kReasoning:
      return emit_text(ReplyDelta::Kind::kReasoning, event.text);
    case Kind::kCallStarted:
      open_call_ = {std::string(event.id), std::string(event.text), ""};
      return;
    case Kind::kCallArguments:
      open_call_.arguments += event.text;
      return;
    case Kind::kCallAbandoned:
      return;
    case Kind::kCallFinished:
      break;
  }
  last_kind_ = ReplyDelta::Kind::kCall;
  ReplyDelta delta;
  delta.kind = ReplyDelta::Kind::kCall;
  delta.call_index = message_.calls.size();
  delta.call = std::move(open_call_);
  message_.calls.push_back(delta.call);
  deltas_.push_back(std::move(delta));
  if (!options_.parallel_calls) wants_end_ = true;
}

void ReplyParser::emit_text(ReplyDelta::Kind kind, std::string_view text) {
  last_kind_ = kind;
  const bool content = kind == ReplyDelta::Kind::kContent;
  (content ? message_.content : message_.reasoning).append(text);
  std::vector<ScoredToken> tokens = claim_tokens(text);
  if (content) {
    message_.tokens.insert(message_.tokens.end(), tokens.begin(), tokens.end());
  } else {
    tokens.clear();
  }
  // One delta per run of text: pieces of one step that are released together are read together.
  if (!deltas_.empty() && deltas_.back().kind == kind) {
    deltas_.back().text += text;
    deltas_.back().tokens.insert(deltas_.back().tokens.end(), std::make_move_iterator(tokens.begin()),
                                 std::make_move_iterator(tokens.end()));
    return;
  }
  ReplyDelta delta;
  delta.kind = kind;
  delta.text = text;
  delta.tokens = std::move(tokens);
  deltas_.push_back(std::move(delta));
}

// The tokens of which this text is made. The text is that of the unclaimed tokens in order, less what the format does not
// report (markers, the line ends around them): a token whose text is not what comes next is such a one and is passed over.
// One whose text is cut at the end of `text` belongs to it; its rest, if it is reported, comes later without a token.
std::vector<ScoredToken> ReplyParser::claim_tokens(std::string_view text) {
  std::vector<ScoredToken> claimed;
  while (!text.empty() && !unclaimed_.empty()) {
    ScoredToken token = std::move(unclaimed_.front());
    unclaimed_.pop_front();
    const size_t length = std::min(token.text.size(), text.size());
    // (Of a character split over tokens, the last one has the text.)
    if (text.starts_with(std::string_view(token.text).substr(0, length))) {
      text.remove_prefix(length);
      claimed.push_back(std::move(token));
    }
  }
  return claimed;
}

}  // namespace mach::server
