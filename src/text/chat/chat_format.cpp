#include "text/chat/chat_format.h"

#include "text/chat/dsml_parser.h"
#include "text/chat/gemma_parser.h"
#include "text/chat/harmony_parser.h"
#include "text/chat/qwen_parser.h"

namespace mach {

namespace {

using enum Marker;
constexpr MarkerMatch kToken = MarkerMatch::kToken;
constexpr MarkerMatch kText = MarkerMatch::kText;

constexpr MarkerRow kQwenMarkers[] = {
    {"<|im_end|>", kStop, kToken, StopRule::kAlways},
    {"<|endoftext|>", kStop, kToken, StopRule::kAlways},
    {"<think>", kThinkOpen},
    {"</think>", kThinkClose},
    {"<tool_call>", kCallOpen},
    {"</tool_call>", kCallClose},
    {"<function=", kFunctionOpen, kText},
    {"</function>", kFunctionClose, kText},
    {"<parameter=", kParameterOpen, kText},
    {"</parameter>", kParameterClose, kText},
};

constexpr MarkerRow kHarmonyMarkers[] = {
    {"<|return|>", kStop, kToken, StopRule::kAlways},
    {"<|call|>", kStop, kToken, StopRule::kAlways},
    {"<|endoftext|>", kStop, kToken, StopRule::kAlways},
    {"<|start|>", kMessageStart},
    {"<|end|>", kMessageEnd},
    {"<|message|>", kMessageBody},
    {"<|channel|>", kChannel},
    {"<|constrain|>", kConstrain},
};

constexpr MarkerRow kGemmaMarkers[] = {
    {"<turn|>", kStop, kToken, StopRule::kAlways},
    {"<eos>", kStop, kToken, StopRule::kAlways},
    // The template opens a response after the calls; a model that ran on would invent it.
    {"<|tool_response>", kStop, kToken, StopRule::kWithTools},
    {"<|channel>", kThinkOpen},
    {"<channel|>", kThinkClose},
    {"<|tool_call>", kCallOpen},
    {"<tool_call|>", kCallClose},
    {"<|\"|>", kStringDelimiter},
};

constexpr MarkerRow kDsmlMarkers[] = {
    {"<｜end▁of▁sentence｜>", kStop, kToken, StopRule::kAlways},
    {"<think>", kThinkOpen},
    {"</think>", kThinkClose},
    {"<｜DSML｜tool_calls>", kCallOpen, kText},
    {"<｜DSML｜function_calls>", kCallOpen, kText},  // V3.2
    {"</｜DSML｜tool_calls>", kCallClose, kText},
    {"</｜DSML｜function_calls>", kCallClose, kText},
    {"<｜DSML｜invoke", kFunctionOpen, kText},
    {"</｜DSML｜invoke>", kFunctionClose, kText},
    {"<｜DSML｜parameter", kParameterOpen, kText},
    {"</｜DSML｜parameter>", kParameterClose, kText},
    // The same without the first bar.
    {"<DSML｜tool_calls>", kCallOpen, kText},
    {"<DSML｜function_calls>", kCallOpen, kText},
    {"</DSML｜tool_calls>", kCallClose, kText},
    {"</DSML｜function_calls>", kCallClose, kText},
    {"<DSML｜invoke", kFunctionOpen, kText},
    {"</DSML｜invoke>", kFunctionClose, kText},
    {"<DSML｜parameter", kParameterOpen, kText},
    {"</DSML｜parameter>", kParameterClose, kText},
};

constexpr std::string_view kHarmonyTypes[] = {"gpt_oss"};
constexpr std::string_view kDsmlTypes[] = {"deepseek_v4"};
constexpr std::string_view kGemmaTypes[] = {"gemma4", "gemma4_text"};
constexpr std::string_view kQwenXmlTypes[] = {"qwen3_5_moe", "qwen3_5_moe_text", "qwen3_5", "qwen3_5_text"};
constexpr std::string_view kQwenJsonTypes[] = {"qwen3_moe", "qwen3", "qwen3_next"};

template <class Parser>
std::unique_ptr<OutputParser> make(const ChatFormat& format, const ParserOptions& options) {
  return std::make_unique<Parser>(format.markers, options);
}

constexpr ChatFormat kFormats[] = {
    {.name = "harmony",
     .model_types = kHarmonyTypes,
     .template_sign = "<|channel|>",
     .markers = kHarmonyMarkers,
     .turn_open = "<|start|>assistant",
     .user_open = "<|start|>user",
     .reasoning_open = "<|channel|>analysis<|message|>",
     .reasoning_close = "<|end|>",
     .parallel_calls = false,
     .one_call_per_message = true,
     .thinking_key = "thinking",
     .make_parser = make<HarmonyParser>},
    {.name = "dsml",
     .model_types = kDsmlTypes,
     .template_sign = "｜DSML｜",
     .markers = kDsmlMarkers,
     .turn_open = "<｜Assistant｜>",
     .user_open = "<｜User｜>",
     .reasoning_open = "<think>",
     .reasoning_close = "</think>",
     .parallel_calls = true,
     .one_call_per_message = false,
     .thinking_key = "",
     .make_parser = make<DsmlParser>},
    {.name = "gemma4",
     .model_types = kGemmaTypes,
     .template_sign = "<|tool_call>",
     .markers = kGemmaMarkers,
     .turn_open = "<|turn>model",
     .user_open = "<|turn>user",
     .reasoning_open = "<|channel>",
     .reasoning_close = "<channel|>",
     .parallel_calls = true,
     .one_call_per_message = false,
     .thinking_key = "",
     .make_parser = make<GemmaParser>},
    {.name = "qwen_xml",  // Qwen3-Coder, Qwen3.5, Qwen3.6
     .model_types = kQwenXmlTypes,
     .template_sign = "<function=",
     .markers = kQwenMarkers,
     .turn_open = "<|im_start|>assistant",
     .user_open = "<|im_start|>user",
     .reasoning_open = "<think>",
     .reasoning_close = "</think>",
     .parallel_calls = true,
     .one_call_per_message = false,
     .thinking_key = "",
     .make_parser = make<QwenParser>},
    {.name = "qwen_json",  // Qwen3
     .model_types = kQwenJsonTypes,
     .template_sign = "<tool_call>",
     .markers = kQwenMarkers,
     .turn_open = "<|im_start|>assistant",
     .user_open = "<|im_start|>user",
     .reasoning_open = "<think>",
     .reasoning_close = "</think>",
     .parallel_calls = true,
     .one_call_per_message = false,
     .thinking_key = "",
     .make_parser = make<QwenParser>},
};

}  // namespace

std::span<const ChatFormat> chat_formats() { return kFormats; }

const ChatFormat* find_chat_format(std::string_view name) {
  for (const ChatFormat& format : kFormats) {
    if (format.name == name) return &format;
  }
  return nullptr;
}

const ChatFormat* detect_chat_format(std::string_view model_type, std::string_view template_text) {
  for (const ChatFormat& format : kFormats) {
    if (template_text.find(format.template_sign) != std::string_view::npos) return &format;
  }
  for (const ChatFormat& format : kFormats) {
    for (const std::string_view type : format.model_types) {
      if (type == model_type) return &format;
    }
  }
  return nullptr;
}

bool starts_in_reasoning(const ChatFormat& format, std::string_view rendered_prompt) {
  const size_t turn = rendered_prompt.rfind(format.turn_open);
  if (turn != std::string_view::npos) rendered_prompt.remove_prefix(turn);
  const size_t open = rendered_prompt.rfind(format.reasoning_open);
  if (open == std::string_view::npos) return false;
  return rendered_prompt.find(format.reasoning_close, open) == std::string_view::npos;
}

std::vector<std::string_view> stop_tokens(const ChatFormat& format, bool request_has_tools) {
  std::vector<std::string_view> names;
  for (const MarkerRow& row : format.markers) {
    if (row.stops == StopRule::kAlways || (row.stops == StopRule::kWithTools && request_has_tools)) {
      names.push_back(row.text);
    }
  }
  return names;
}

}  // namespace mach
