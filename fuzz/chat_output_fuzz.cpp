// Feeds generated text to the output parser of a chosen format, once whole and once in pieces, and checks what
// output_parser.h promises: both ways give the same message, events follow each other properly, and the arguments of every
// finished call are one JSON object.
// Input: byte 0 chooses the format, byte 1 options (bits), byte 2 seeds the cuts, the rest is the text.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "text/chat/chat_format.h"
#include "text/chat/json_scanner.h"
#include "text/chat/tool_schemas.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

class Checker : public mach::EventSink {
 public:
  void on_event(const mach::OutputEvent& event) override {
    using Kind = mach::OutputEvent::Kind;
    require(mach::is_valid_utf8(event.text));
    switch (event.kind) {
      case Kind::kContent:
      case Kind::kReasoning:
        require(!open_);
        (event.kind == Kind::kContent ? content_ : reasoning_).append(event.text);
        break;
      case Kind::kCallStarted:
        require(!open_ && event.call == started_++ && !event.text.empty());
        open_ = true;
        arguments_.clear();
        break;
      case Kind::kCallArguments:
        require(open_ && event.call + 1 == started_);
        arguments_.append(event.text);
        break;
      case Kind::kCallFinished:
        require(open_ && mach::json_kind(arguments_) == mach::JsonKind::kObject);
        require(nlohmann::json::accept(arguments_));
        finished_.append(arguments_).push_back('\n');
        open_ = false;
        break;
      case Kind::kCallAbandoned:
        require(open_);
        open_ = false;
    }
  }

  void check(const mach::ParsedMessage& message) const {
    require(!open_ && content_ == message.content && reasoning_ == message.reasoning);
    std::string calls;
    for (const mach::ToolCall& call : message.tool_calls) calls.append(call.arguments).push_back('\n');
    require(calls == finished_);
  }

  std::string everything() const { return reasoning_ + '\0' + content_ + '\0' + finished_; }

 private:
  bool open_ = false;
  size_t started_ = 0;
  std::string content_, reasoning_, arguments_, finished_;
};

const mach::ToolSchemas& tools() {
  static const mach::ToolSchemas kTools(
      nlohmann::ordered_json::parse(R"([{"type": "function", "function": {"name": "f",
    "parameters": {"properties": {"s": {"type": "string"}, "i": {"type": "integer"}, "n": {"type": "number"}, "b": {"type": "boolean"},
      "a": {"type": "array"}, "o": {"type": "object"}, "u": {"type": ["integer", "null", "array"]}}}}}])"));
  return kTools;
}

std::string parse(const mach::ChatFormat& format, const mach::ParserOptions& options, std::string_view text,
                  mach::Ending ending, bool pieces, uint32_t seed) {
  Checker checker;
  const auto parser = mach::make_output_parser(format, options);
  while (!text.empty()) {
    seed = seed * 1664525 + 1013904223;  // a linear congruential generator: any sequence does
    const size_t size = std::min<size_t>(text.size(), pieces ? 1 + (seed >> 24) % 8 : text.size());
    parser->push({-1, text.substr(0, size)}, checker);
    text.remove_prefix(size);
  }
  checker.check(parser->finish(ending, checker));
  return checker.everything();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const auto formats = mach::chat_formats();
  const mach::ChatFormat& format = formats[data[0] % formats.size()];
  const std::string_view text(reinterpret_cast<const char*>(data) + 3, size - 3);
  mach::ParserOptions options;
  if ((data[1] & 1) != 0) options.tools = &tools();
  options.starts_in_reasoning = (data[1] & 2) != 0;
  options.parse_calls = (data[1] & 4) == 0;
  options.new_call_id = [] { return std::string("call"); };
  const mach::Ending ending = (data[1] & 8) != 0 ? mach::Ending::kCutOff : mach::Ending::kStopped;

  require(parse(format, options, text, ending, true, data[2]) ==
          parse(format, options, text, ending, false, 0));
  return 0;
}
