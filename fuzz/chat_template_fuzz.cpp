// Any JSON as a conversation (a list of messages, or an object with messages, tools and variables), through every
// template of tests/data/chat_templates. UTF-8 comes out, or
// a mach::Error.
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/file.h"
#include "base/utf8.h"
#include "io/json.h"
#include "text/jinja/chat_template.h"

namespace {

std::vector<mach::ChatTemplate> load_templates() {
  std::vector<mach::ChatTemplate> templates;
  for (const auto& entry :
       std::filesystem::directory_iterator(MACH_SOURCE_DIR "/tests/data/chat_templates")) {
    if (entry.path().extension() != ".jinja") continue;
    const std::string source = mach::read_text_file(entry.path(), mach::jinja::Template::kMostBytes);
    templates.push_back(mach::ChatTemplate::from_source(source, entry.path().filename().string()));
  }
  return templates;
}

mach::ChatPrompt to_prompt(nlohmann::ordered_json conversation) {
  mach::ChatPrompt prompt;
  prompt.add_generation_prompt = true;
  if (!conversation.is_object()) {
    prompt.messages = std::move(conversation);
    return prompt;
  }
  for (const char* name : {"messages", "tools"}) {
    if (!conversation.contains(name)) continue;
    (name[0] == 'm' ? prompt.messages : prompt.tools) = conversation[name];
    conversation.erase(name);
  }
  prompt.variables = std::move(conversation);
  return prompt;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<mach::ChatTemplate> templates = load_templates();
  mach::jinja::RenderOptions options;
  options.limits.steps = 200'000;
  options.limits.text_bytes = size_t{1} << 20;
  options.limits.live_bytes = size_t{16} << 20;
  options.clock = mach::jinja::fixed_clock(0);
  mach::ChatPrompt prompt;
  try {
    mach::JsonLimits limits;
    limits.error = mach::ErrorCode::kInvalidRequest;
    limits.max_values = 10'000;
    prompt =
        to_prompt(mach::parse_ordered_json({reinterpret_cast<const char*>(data), size}, "input", limits));
  } catch (const mach::Error&) {
    return 0;
  }
  for (const auto& chat : templates) {
    try {
      if (!mach::is_valid_utf8(chat.render(prompt, options))) __builtin_trap();
    } catch (const mach::Error&) {
      // refused
    }
  }
  return 0;
}
