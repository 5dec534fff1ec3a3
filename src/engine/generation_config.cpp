#include "engine/generation_config.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "io/json.h"

namespace mach {
namespace {

using Json = nlohmann::json;

class Reader {
 public:
  Reader(const Json& root, std::string_view what, uint32_t vocab_size, GenerationDefaults& out)
      : root_(root), what_(what), vocab_size_(vocab_size), out_(out) {}

  void read() {
    SamplingParams& sampling = out_.sampling;
    const Json* do_sample = find("do_sample");
    if (do_sample != nullptr && !do_sample->is_boolean()) warn("do_sample", "must be true or false");
    if (do_sample != nullptr && do_sample->is_boolean() && do_sample->get<bool>()) {
      sampling.temperature = 1;
      number("temperature", sampling, &SamplingParams::temperature);
      number("top_p", sampling, &SamplingParams::top_p);
      number("min_p", sampling, &SamplingParams::min_p);
      if (const auto k = whole("top_k")) sampling.top_k = *k;
    }
    number("repetition_penalty", sampling, &SamplingParams::repetition_penalty);
    out_.max_new_tokens = whole("max_new_tokens");
    if (out_.max_new_tokens == 0U) out_.max_new_tokens.reset();
    sampling.suppressed = ids("suppress_tokens");
    out_.stop_ids = ids("eos_token_id");
  }

 private:
  const Json* find(const char* key) const {
    const auto it = root_.find(key);
    return it == root_.end() || it->is_null() ? nullptr : &*it;
  }

  void warn(std::string_view key, std::string_view expected) {
    out_.warnings.push_back(fmt::format("{}: {} {}, ignored", what_, key, expected));
  }

  void number(const char* key, SamplingParams& sampling, float SamplingParams::*member) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_number()) return warn(key, "must be a number");
    const float before = sampling.*member;
    sampling.*member = value->get<float>();
    try {
      validate(sampling, vocab_size_);
    } catch (const Error& e) {
      sampling.*member = before;
      out_.warnings.push_back(fmt::format("{}: {}, ignored", what_, e.what()));
    }
  }

  std::optional<uint32_t> whole(const char* key) {
    const Json* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (value->is_number_unsigned() && value->get<uint64_t>() <= UINT32_MAX) return value->get<uint32_t>();
    warn(key, "must be a whole number");
    return std::nullopt;
  }

  // One id or an array of ids.
  std::vector<TokenId> ids(const char* key) {
    const Json* value = find(key);
    std::vector<TokenId> result;
    if (value == nullptr) return result;
    const auto add = [&](const Json& id) {
      if (id.is_number_unsigned() && id.get<uint64_t>() < vocab_size_) {
        result.push_back(id.get<TokenId>());
      } else {
        warn(key, fmt::format("must be ids below {}, not {}", vocab_size_, id.dump().substr(0, 40)));
      }
    };
    if (value->is_array()) {
      for (const Json& id : *value) add(id);
    } else {
      add(*value);
    }
    std::sort(result.begin(), result.end());
    result.erase(std::unique(result.begin(), result.end()), result.end());
    return result;
  }

  const Json& root_;
  std::string_view what_;
  uint32_t vocab_size_;
  GenerationDefaults& out_;
};

}  // namespace

GenerationDefaults parse_generation_config(std::string_view text, std::string_view what,
                                           uint32_t vocab_size) {
  GenerationDefaults defaults;
  Json root;
  try {
    JsonLimits limits;
    limits.max_bytes = uint64_t{1} << 20;
    limits.duplicates = DuplicateKeys::kKeepLast;
    root = parse_json(text, what, limits);
  } catch (const Error& e) {
    defaults.warnings.push_back(fmt::format("{}, ignored", e.what()));
    return defaults;
  }
  if (!root.is_object()) {
    defaults.warnings.push_back(fmt::format("{}: must be an object, ignored", what));
    return defaults;
  }
  Reader(root, what, vocab_size, defaults).read();
  return defaults;
}

void add_stop_ids(GenerationDefaults& defaults, std::span<const TokenId> ids, std::string_view source,
                  uint32_t vocab_size) {
  for (const TokenId id : ids) {
    if (id < 0 || static_cast<uint32_t>(id) >= vocab_size) {
      defaults.warnings.push_back(
          fmt::format("{}: stop id {} is outside the vocabulary [0, {}), ignored", source, id, vocab_size));
      continue;
    }
    const auto at = std::lower_bound(defaults.stop_ids.begin(), defaults.stop_ids.end(), id);
    if (at == defaults.stop_ids.end() || *at != id) defaults.stop_ids.insert(at, id);
  }
}

}  // namespace mach
