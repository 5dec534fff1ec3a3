#include "arch/config_reader.h"

#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

namespace mach {
namespace {

using Json = nlohmann::json;

constexpr size_t kShownCharacters = 40;

std::string range_text(uint32_t low, uint32_t high) {
  return fmt::format("a whole number from {} to {}", low, high);
}

}  // namespace

std::string shown(const Json& value) {
  if (value.is_array()) return fmt::format("a list of {}", value.size());
  if (value.is_object()) return fmt::format("an object of {} keys", value.size());
  if (value.is_string() && value.get_ref<const std::string&>().size() > kShownCharacters) {
    const Json cut = value.get_ref<const std::string&>().substr(0, kShownCharacters);
    return cut.dump(-1, ' ', true, Json::error_handler_t::replace) + "...";
  }
  return value.dump(-1, ' ', true, Json::error_handler_t::replace);
}

ConfigReader::ConfigReader(const Json& object, std::string file, std::string path)
    : object_(&object), file_(std::move(file)), path_(std::move(path)) {
  if (!object.is_object()) {
    throw Error(ErrorCode::kCorruptFile, fmt::format("{}: {} is {}, must be an object", file_,
                                                     path_.empty() ? "the file" : path_, shown(object)));
  }
}

const Json* ConfigReader::find(std::string_view key) const {
  const auto it = object_->find(key);
  return it == object_->end() || it->is_null() ? nullptr : &*it;
}

std::string ConfigReader::where(std::string_view key) const {
  return path_.empty() ? fmt::format("{}: {}", file_, key) : fmt::format("{}: {}.{}", file_, path_, key);
}

std::string ConfigReader::complaint(std::string_view key, std::string_view wanted) const {
  const Json* value = find(key);
  if (value == nullptr) return fmt::format("{} is missing, must be {}", where(key), wanted);
  return fmt::format("{} is {}, must be {}", where(key), shown(*value), wanted);
}

void ConfigReader::fail(std::string_view key, std::string_view wanted) const {
  throw Error(ErrorCode::kCorruptFile, complaint(key, wanted));
}

void ConfigReader::unsupported(std::string_view key, std::string_view wanted) const {
  throw Error(ErrorCode::kUnsupported, complaint(key, wanted));
}

std::optional<uint32_t> ConfigReader::whole(const Json& value, uint32_t low, uint32_t high) const {
  if (!value.is_number()) return std::nullopt;
  const double number = value.get<double>();
  // Every uint32_t is exact in a double, so one comparison covers integers and 4096.0 alike.
  if (!(number >= low && number <= high) || number != std::floor(number)) return std::nullopt;
  return static_cast<uint32_t>(number);
}

std::optional<uint32_t> ConfigReader::maybe_count(std::string_view key, uint32_t high, uint32_t low) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  const std::optional<uint32_t> number = whole(*value, low, high);
  if (!number) fail(key, range_text(low, high));
  return number;
}

uint32_t ConfigReader::count(std::initializer_list<std::string_view> keys, uint32_t high,
                             uint32_t low) const {
  std::optional<uint32_t> found;
  for (const std::string_view key : keys) {
    const std::optional<uint32_t> number = maybe_count(key, high, low);
    if (!number) continue;
    if (found && *found != *number) fail(key, fmt::format("{} like {}", *found, *keys.begin()));
    found = number;
  }
  if (!found) fail(*keys.begin(), range_text(low, high));
  return *found;
}

uint32_t ConfigReader::count_or(std::string_view key, uint32_t fallback, uint32_t high, uint32_t low) const {
  return maybe_count(key, high, low).value_or(fallback);
}

std::optional<double> ConfigReader::maybe_number(std::string_view key, double low, double high) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  if (!(number >= low && number <= high)) fail(key, fmt::format("a number from {} to {}", low, high));
  return number;
}

double ConfigReader::number(std::string_view key, double low, double high) const {
  const std::optional<double> number = maybe_number(key, low, high);
  if (!number) fail(key, fmt::format("a number from {} to {}", low, high));
  return *number;
}

double ConfigReader::number_or(std::string_view key, double fallback, double low, double high) const {
  return maybe_number(key, low, high).value_or(fallback);
}

std::optional<bool> ConfigReader::maybe_flag(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) fail(key, "true or false");
  return value->get<bool>();
}

std::optional<std::string> ConfigReader::maybe_string(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) fail(key, "a string");
  return value->get<std::string>();
}

std::optional<ConfigReader> ConfigReader::maybe_object(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) fail(key, "an object");
  return ConfigReader(*value, file_, path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key));
}

std::optional<std::vector<std::string>> ConfigReader::maybe_strings(std::string_view key,
                                                                    size_t least) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  const std::string wanted = fmt::format("a list of at least {} strings", least);
  if (!value->is_array() || value->size() < least) fail(key, wanted);
  std::vector<std::string> strings;
  for (const Json& entry : *value) {
    if (!entry.is_string()) fail(key, wanted);
    strings.push_back(entry.get<std::string>());
  }
  return strings;
}

std::optional<std::vector<uint32_t>> ConfigReader::maybe_counts(std::string_view key, size_t least,
                                                                uint32_t high, uint32_t low) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  const std::string wanted = fmt::format("a list of at least {}, each {}", least, range_text(low, high));
  if (!value->is_array() || value->size() < least) fail(key, wanted);
  std::vector<uint32_t> numbers;
  for (const Json& entry : *value) {
    const std::optional<uint32_t> number = whole(entry, low, high);
    if (!number) fail(key, wanted);
    numbers.push_back(*number);
  }
  return numbers;
}

std::vector<uint32_t> ConfigReader::one_or_many(std::string_view key, uint32_t high) const {
  const Json* value = find(key);
  if (value == nullptr) return {};
  if (value->is_array()) return maybe_counts(key, 0, high, 0).value_or(std::vector<uint32_t>{});
  return {count(key, high, 0)};
}

}  // namespace mach
