#include "text/tokenizer/component.h"

#include <fmt/format.h>

#include "mach/error.h"

namespace mach {

bool Component::has(const char* key) const {
  if (!value_->is_object()) return false;
  const auto it = value_->find(key);
  return it != value_->end() && !it->is_null();
}

std::string Component::show(const char* key) const {
  if (!value_->is_object()) return fmt::format("is a JSON {}, not an object", value_->type_name());
  const auto it = value_->find(key);
  if (it == value_->end()) return fmt::format("field '{}' is missing", key);
  std::string text = it->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  constexpr size_t kShown = 80;
  if (text.size() > kShown) text = text.substr(0, kShown) + "...";
  return fmt::format("field '{}' is {}", key, text);
}

void Component::fail_unsupported(const char* key, std::string_view expected) const {
  throw Error(ErrorCode::kUnsupported,
              fmt::format("{}: {}, which is not supported; {}", path_, show(key), expected));
}

void Component::fail_corrupt(const char* key, std::string_view expected) const {
  throw Error(ErrorCode::kCorruptFile, fmt::format("{}: {}, expected {}", path_, show(key), expected));
}

const nlohmann::json& Component::field(const char* key, std::string_view expected) const {
  if (!value_->is_object() || !value_->contains(key)) fail_corrupt(key, expected);
  return (*value_)[key];
}

std::string Component::string(const char* key) const {
  const nlohmann::json& value = field(key, "a string");
  if (!value.is_string()) fail_corrupt(key, "a string");
  return value.get<std::string>();
}

std::string Component::string_or(const char* key, std::string fallback) const {
  return has(key) ? string(key) : std::move(fallback);
}

bool Component::boolean(const char* key) const {
  const nlohmann::json& value = field(key, "true or false");
  if (!value.is_boolean()) fail_corrupt(key, "true or false");
  return value.get<bool>();
}

bool Component::boolean_or(const char* key, bool fallback) const {
  return has(key) ? boolean(key) : fallback;
}

uint64_t Component::integer(const char* key, uint64_t limit) const {
  const nlohmann::json& value = field(key, "an integer");
  if (!value.is_number_unsigned() || value.get<uint64_t>() > limit) {
    fail_corrupt(key, fmt::format("an integer from 0 to {}", limit));
  }
  return value.get<uint64_t>();
}

Component Component::child(const char* key) const {
  return {field(key, "an object"), fmt::format("{}.{}", path_, key)};
}

std::vector<Component> Component::children(const char* key) const {
  const nlohmann::json& value = field(key, "an array");
  if (!value.is_array()) fail_corrupt(key, "an array");
  std::vector<Component> result;
  result.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i)
    result.emplace_back(value[i], fmt::format("{}.{}[{}]", path_, key, i));
  return result;
}

Component::Pattern Component::pattern(const char* key) const {
  const Component inner = child(key);
  for (const bool is_regex : {false, true}) {
    const char* kind = is_regex ? "Regex" : "String";
    if (inner.has(kind)) return {inner.string(kind), is_regex, fmt::format("{}.{}", inner.path(), kind)};
  }
  fail_corrupt(key, R"({"String": ...} or {"Regex": ...})");
}

}  // namespace mach
