#include "arch/rope_reader.h"

#include <cmath>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace mach {
namespace {

constexpr double kMaxTheta = 1e15;
constexpr double kMaxFactor = 1e6;
constexpr double kMaxPosition = 1e12;

struct RopeTypeRow {
  std::string_view name;
  RopeType type;
};
constexpr RopeTypeRow kRopeTypes[] = {
    {"default", RopeType::kDefault},
    {"linear", RopeType::kLinear},
    {"yarn", RopeType::kYarn},
    {"llama3", RopeType::kLlama3},
    {"proportional", RopeType::kProportional},
};

RopeType read_type(const ConfigReader& settings) {
  const char* key = settings.has("rope_type") || !settings.has("type") ? "rope_type" : "type";
  const std::string name = settings.maybe_string(key).value_or("default");
  for (const RopeTypeRow& row : kRopeTypes) {
    if (row.name == name) return row.type;
  }
  // dynamic and longrope change their frequencies with the length, which invalidates every cached key.
  settings.unsupported(key, "default, linear, yarn, llama3 or proportional");
}

// Key `name` of the settings, else of the level around them.
double inherited(const ConfigReader& settings, const ConfigReader& level, std::string_view key,
                 double fallback, double low, double high) {
  if (const auto own = settings.maybe_number(key, low, high)) return *own;
  return level.number_or(key, fallback, low, high);
}

double yarn_magnitude(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

double yarn_attention_factor(const ConfigReader& settings, double factor) {
  if (const auto given = settings.maybe_number("attention_factor", 1e-6, 1e6)) return *given;
  const double mscale = settings.number_or("mscale", 0.0, 0.0, 1e3);
  const double all_dims = settings.number_or("mscale_all_dim", 0.0, 0.0, 1e3);
  if (mscale != 0.0 && all_dims != 0.0)
    return yarn_magnitude(factor, mscale) / yarn_magnitude(factor, all_dims);
  return yarn_magnitude(factor, 1.0);
}

double original_length(const ConfigReader& settings, const ConfigReader& level, const RopeRules& rules) {
  constexpr std::string_view kKey = "original_max_position_embeddings";
  // The top-level key wins over the one in the settings, as in the reference.
  if (const auto top = level.maybe_number(kKey, 1.0, kMaxPosition)) return *top;
  return settings.number_or(kKey, rules.max_position, 1.0, kMaxPosition);
}

void read_yarn(const ConfigReader& settings, const ConfigReader& level, const RopeRules& rules,
               RopeConfig& rope) {
  rope.original_max_position = original_length(settings, level, rules);
  rope.factor =
      settings.number_or("factor", rules.max_position / rope.original_max_position, 1e-6, kMaxFactor);
  rope.attention_factor = yarn_attention_factor(settings, rope.factor);
  rope.beta_fast = settings.number_or("beta_fast", 32.0, 1e-6, 1e6);
  rope.beta_slow = settings.number_or("beta_slow", 1.0, 1e-6, 1e6);
  if (rope.beta_fast <= rope.beta_slow) {
    settings.fail("beta_fast", fmt::format("greater than beta_slow ({})", rope.beta_slow));
  }
  rope.truncate = settings.flag_or("truncate", true);
}

void read_llama3(const ConfigReader& settings, const ConfigReader& level, const RopeRules& rules,
                 RopeConfig& rope) {
  rope.original_max_position = original_length(settings, level, rules);
  rope.factor = settings.number("factor", 1.0, kMaxFactor);
  rope.low_freq_factor = settings.number("low_freq_factor", 1e-6, 1e6);
  rope.high_freq_factor = settings.number("high_freq_factor", 1e-6, 1e6);
  if (rope.high_freq_factor <= rope.low_freq_factor) {
    settings.fail("high_freq_factor", fmt::format("greater than low_freq_factor ({})", rope.low_freq_factor));
  }
}

void read_rotary_dims(const ConfigReader& settings, const ConfigReader& level, const RopeRules& rules,
                      RopeConfig& rope) {
  const double partial =
      inherited(settings, level, "partial_rotary_factor", rules.default_partial, 1e-6, 1.0);
  const bool proportional = rope.type == RopeType::kProportional;
  const bool whole_head = proportional || (rope.type == RopeType::kDefault && rules.default_type_rotates_all);
  rope.rotary_dims = whole_head ? rules.head_dim : static_cast<uint32_t>(rules.head_dim * partial);
  if (rules.rotary_dims != 0) rope.rotary_dims = rules.rotary_dims;
  // Rounded down, as the reference does: a quarter of 40 dimensions is 5 pairs.
  rope.active = proportional ? static_cast<uint32_t>(rules.head_dim * partial / 2.0) : rope.rotary_dims / 2;
  if (rope.rotary_dims % 2 != 0 || rope.active == 0) {
    settings.fail("partial_rotary_factor",
                  fmt::format("such that a positive, even number of the {} dimensions of a head rotates",
                              rules.head_dim));
  }
}

}  // namespace

std::optional<ConfigReader> find_rope_settings(const ConfigReader& level) {
  const nlohmann::json* scaling = level.find("rope_scaling");
  if (scaling != nullptr && !(scaling->is_object() && scaling->empty()))
    return level.maybe_object("rope_scaling");
  return level.maybe_object("rope_parameters");
}

RopeConfig read_rope(const ConfigReader& level, const RopeRules& rules) {
  if (const auto settings = find_rope_settings(level)) return read_rope(level, *settings, rules);
  static const nlohmann::json kNoSettings = nlohmann::json::object();
  return read_rope(level, ConfigReader(kNoSettings, level.where("rope_parameters")), rules);
}

RopeConfig read_rope(const ConfigReader& level, const ConfigReader& settings, const RopeRules& rules) {
  RopeConfig rope;
  rope.type = read_type(settings);
  rope.pairing = rules.pairing;
  rope.head_dim = rules.head_dim;
  // Above 1: the exponents of theta are divided by its logarithm.
  rope.theta = inherited(settings, level, "rope_theta", rules.default_theta, 1.0 + 1e-6, kMaxTheta);
  read_rotary_dims(settings, level, rules, rope);
  switch (rope.type) {
    case RopeType::kDefault:
      break;
    case RopeType::kLinear:
      rope.factor = settings.number("factor", 1.0, kMaxFactor);
      break;
    case RopeType::kProportional:
      rope.factor = settings.number_or("factor", 1.0, 1.0, kMaxFactor);
      break;
    case RopeType::kYarn:
      read_yarn(settings, level, rules, rope);
      break;
    case RopeType::kLlama3:
      read_llama3(settings, level, rules, rope);
      break;
  }
  return rope;
}

}  // namespace mach
