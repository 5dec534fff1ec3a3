// One request for generated text, whichever API it came through: what the three chat APIs and the completions API have in
// common after their fields are read. Values only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/sampling_params.h"

namespace mach::server {

using Json = nlohmann::ordered_json;

// What a request says about choosing tokens; what it leaves open comes from the checkpoint.
struct SamplingRequest {
  std::optional<float> temperature, top_p, min_p;
  std::optional<uint32_t> top_k;
  std::optional<float> repetition_penalty, presence_penalty, frequency_penalty;
  std::vector<LogitBias> logit_bias;
  std::optional<uint64_t> seed;
  std::optional<uint32_t> logprobs;  // as SamplingParams::logprobs

  void apply_to(SamplingParams& params) const;
};

struct GenerationRequest {
  SamplingRequest sampling;
  std::optional<uint32_t> max_tokens;
  std::vector<std::string> stop;
  uint32_t choices = 1;
  bool ignore_eos = false;  // for measurements: goes on to max_tokens
};

struct StreamRequest {
  bool stream = false;
  bool include_usage = false;
  bool progress = false;  // report the prompt's progress in the stream
};

struct ToolChoice {
  enum class Kind : uint8_t { kAuto, kNone, kRequired, kNamed };
  Kind kind = Kind::kAuto;
  std::string name;  // kNamed
};

// The form that the answer's content must have.
struct OutputForm {
  enum class Kind : uint8_t { kText, kJsonObject, kJsonSchema, kGrammar };
  Kind kind = Kind::kText;
  Json schema;          // kJsonSchema
  std::string grammar;  // kGrammar
  std::string field;    // of the request, for refusals
};

struct ChatTask {
  Json messages = Json::array();  // OpenAI's shape
  // Where each message came from in a request of another shape ("input[3]"); empty: they are the request's messages.
  std::vector<std::string> origins;
  // The beginning of the answer, which the model continues; and the field it came from.
  std::string prefill;
  std::string prefill_field;
  Json tools;  // OpenAI's shape, or null
  ToolChoice tool_choice;
  bool parallel_calls = true;
  Json variables = Json::object();  // of the chat template
  OutputForm form;
  GenerationRequest generation;
  StreamRequest stream;
};

// none, minimal, low, medium, high, xhigh, max: sets what the templates of the families read (enable_thinking, thinking,
// reasoning_effort). Throws Error{kInvalidRequest} naming `field` for anything else.
void apply_reasoning_effort(Json& variables, const std::string& effort, const std::string& field);

// Thinking on or off where a template has that switch.
void set_thinking(Json& variables, bool on);

}  // namespace mach::server
