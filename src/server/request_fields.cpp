#include "server/request_fields.h"

#include <charconv>
#include <limits>

#include <fmt/format.h>

#include "mach/error.h"

#include "base/quoted_name.h"

namespace mach::server {
namespace {

constexpr int64_t kMaxTokenId = std::numeric_limits<TokenId>::max();

std::optional<float> small_number(const FieldReader& fields, std::string_view name, double least,
                                  double most) {
  const auto value = fields.number(name, least, most);
  if (!value) return std::nullopt;
  return static_cast<float>(*value);
}

std::vector<LogitBias> read_logit_bias(const FieldReader& fields) {
  std::vector<LogitBias> biases;
  const Json* given = fields.value("logit_bias");
  if (given == nullptr) return biases;
  if (given->size() > kMaxLogitBiases) {
    fields.refuse("logit_bias", fmt::format("has more than {} entries", kMaxLogitBiases));
  }
  for (const auto& [key, value] : given->items()) {
    TokenId id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0) {
      fields.refuse("logit_bias", fmt::format("{} is no token id", quoted_name(key, 32)));
    }
    if (!value.is_number()) fields.refuse("logit_bias", "must map token ids to numbers");
    biases.push_back({id, static_cast<float>(value.get<double>())});
  }
  return biases;
}

constexpr FieldRow kStreamOptionsRows[] = {
    {"include_usage", kBoolean, Handling::kUsed, "a last event with usage and no choices"},
    {"include_obfuscation", kBoolean, Handling::kIgnored, ""},
    {"continuous_usage_stats", kBoolean, Handling::kIgnored, ""},
};

}  // namespace

const FieldTable kStreamOptionsFields{"stream_options", kStreamOptionsRows};

std::string item_path(const std::string& path, size_t index) { return fmt::format("{}[{}]", path, index); }

const Json& checked_array(const Json& value, const std::string& path, size_t most) {
  if (!value.is_array()) throw Error(ErrorCode::kInvalidRequest, path + ": must be an array");
  if (value.size() > most) {
    throw Error(ErrorCode::kInvalidRequest,
                fmt::format("{}: has {} items, at most {} are accepted", path, value.size(), most));
  }
  return value;
}

SamplingRequest read_sampling(const FieldReader& fields) {
  SamplingRequest sampling;
  sampling.temperature = small_number(fields, "temperature", 0, kMaxTemperature);
  sampling.top_p = small_number(fields, "top_p", 0, 1);
  if (sampling.top_p && *sampling.top_p <= 0) fields.refuse("top_p", "must be above 0");
  sampling.min_p = small_number(fields, "min_p", 0, 1);
  if (const auto k = fields.integer("top_k", -1, kMaxTokenId)) {
    sampling.top_k = static_cast<uint32_t>(std::max<int64_t>(*k, 0));
  }
  sampling.repetition_penalty = small_number(fields, "repetition_penalty", 0.01, 100);
  sampling.presence_penalty = small_number(fields, "presence_penalty", -2, 2);
  sampling.frequency_penalty = small_number(fields, "frequency_penalty", -2, 2);
  sampling.logit_bias = read_logit_bias(fields);
  if (const auto seed =
          fields.integer("seed", std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max())) {
    sampling.seed = static_cast<uint64_t>(*seed);
  }
  return sampling;
}

std::vector<std::string> read_stops(const FieldReader& fields, std::string_view name) {
  const Json* given = fields.value(name);
  if (given == nullptr) return {};
  if (given->is_string()) return {given->get<std::string>()};
  std::vector<std::string> stops;
  for (const Json& one : *given) {
    if (!one.is_string()) fields.refuse(name, "must be strings");
    stops.push_back(one.get<std::string>());
  }
  return stops;
}

StreamRequest read_stream(const FieldReader& fields) {
  StreamRequest request;
  request.stream = fields.flag("stream");
  request.progress = fields.flag("return_progress");
  if (const Json* options = fields.value("stream_options")) {
    const FieldReader inner(*options, kStreamOptionsFields, fields.path("stream_options"));
    request.include_usage = inner.flag("include_usage");
  }
  return request;
}

uint32_t read_choices(const FieldReader& fields, const RequestLimits& limits) {
  return static_cast<uint32_t>(fields.integer("n", 1, static_cast<int64_t>(limits.max_choices)).value_or(1));
}

}  // namespace mach::server
