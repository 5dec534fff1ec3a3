// Fields that several APIs share: their table rows, and how they are read. See fields.h.
#pragma once

#include <string>
#include <vector>

#include "server/chat_task.h"
#include "server/fields.h"

namespace mach::server {

// What a request may hold besides bytes (those are the HTTP server's business).
struct RequestLimits {
  size_t max_messages = 8192;
  size_t max_tools = 1024;
  size_t max_choices = 16;
  size_t max_json_depth = 100;
  size_t max_json_values = size_t{1} << 20;
};

namespace rows {

inline constexpr FieldRow kModel{"model", kString, Handling::kUsed,
                                 "any name is answered by the loaded model, unless --strict-model is on"};
inline constexpr FieldRow kStream{"stream", kBoolean, Handling::kUsed, "server-sent events"};
inline constexpr FieldRow kStreamOptions{"stream_options", kObject, Handling::kUsed, "include_usage"};
inline constexpr FieldRow kTemperature{"temperature", kNumber, Handling::kUsed,
                                       "0 to 100; default: the checkpoint's; 0 is greedy"};
inline constexpr FieldRow kTopP{"top_p", kNumber, Handling::kUsed, "above 0, at most 1"};
inline constexpr FieldRow kTopK{"top_k", kInteger, Handling::kUsed, "0 or -1: all tokens"};
inline constexpr FieldRow kMinP{"min_p", kNumber, Handling::kUsed,
                                "share of the likeliest token's probability"};
inline constexpr FieldRow kSeed{"seed", kInteger, Handling::kUsed,
                                "same seed, same numbers: same text; choice i uses seed + i"};
inline constexpr FieldRow kPresence{"presence_penalty", kNumber, Handling::kUsed, "-2 to 2"};
inline constexpr FieldRow kFrequency{"frequency_penalty", kNumber, Handling::kUsed, "-2 to 2"};
inline constexpr FieldRow kRepetition{"repetition_penalty", kNumber, Handling::kUsed,
                                      "Hugging Face's; 1 is without effect"};
inline constexpr FieldRow kLogitBias{"logit_bias", kObject, Handling::kUsed,
                                     "token id to bias, -100 (never) to 100 (always)"};
inline constexpr FieldRow kStop{"stop", kString | kArray, Handling::kUsed,
                                "up to 64 strings; the text ends before the first that appears"};
inline constexpr FieldRow kN{"n", kInteger, Handling::kUsed, "1 to 16 choices"};
inline constexpr FieldRow kIgnoreEos{"ignore_eos", kBoolean, Handling::kUsed,
                                     "goes on to max_tokens, for measurements"};
inline constexpr FieldRow kUser{"user", kString, Handling::kIgnored, ""};
inline constexpr FieldRow kMetadata{"metadata", kObject, Handling::kIgnored, ""};
inline constexpr FieldRow kServiceTier{"service_tier", kString, Handling::kIgnored, ""};
inline constexpr FieldRow kReturnProgress{
    "return_progress", kBoolean, Handling::kUsed,
    "stream events with prompt_progress {total, cache, processed, time_ms} while the prompt is processed"};

}  // namespace rows

extern const FieldTable kStreamOptionsFields;

SamplingRequest read_sampling(const FieldReader& fields);
std::vector<std::string> read_stops(const FieldReader& fields, std::string_view name);
StreamRequest read_stream(const FieldReader& fields);
uint32_t read_choices(const FieldReader& fields, const RequestLimits& limits);

// The array with at most `most` items. Throws Error{kInvalidRequest}.
const Json& checked_array(const Json& value, const std::string& path, size_t most);

std::string item_path(const std::string& path, size_t index);  // "messages[2]"

}  // namespace mach::server
