// Any bytes as a template: parsed, and rendered with a small conversation under small limits. What comes out is
// UTF-8, or a mach::Error of one line that begins with the template's name.
#include <cstdint>
#include <string_view>

#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/utf8.h"
#include "text/jinja/json_text.h"
#include "text/jinja/template.h"

namespace {

constexpr const char* kVariables = R"({
  "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Zürich <b>\"x\"</b>\n"},
    {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1, "b": [1.5, true]}}}]}],
  "tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"type": "integer"}}}}}],
  "bos_token": "<s>", "add_generation_prompt": true, "n": 7, "x": -2.5, "s": "text", "l": [3, 1, 2], "nil": null})";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const mach::jinja::Value variables =
      mach::jinja::from_json(nullptr, nlohmann::ordered_json::parse(kVariables));
  mach::jinja::RenderOptions options;
  options.limits.steps = 100'000;
  options.limits.text_bytes = size_t{1} << 18;
  options.limits.live_bytes = size_t{8} << 20;
  options.limits.call_depth = 60;
  options.clock = mach::jinja::fixed_clock(0);
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  try {
    if (!mach::is_valid_utf8(mach::jinja::Template::parse(source, "fuzz").render(variables, options)))
      __builtin_trap();
  } catch (const mach::Error& error) {
    const std::string_view what = error.what();
    if (!what.starts_with("fuzz:") || what.find('\n') != what.npos || !mach::is_valid_utf8(what))
      __builtin_trap();
  }
  return 0;
}
