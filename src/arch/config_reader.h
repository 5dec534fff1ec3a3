// Typed access to one JSON object of config.json. Every failure is an Error{kCorruptFile} that names the file, the path
// of the key, what stands there and what would be right. A key whose value is null counts as absent, as the reference
// treats it. Holds a pointer: the JSON outlives the reader. Copyable, not synchronised (reads only).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace mach {

class ConfigReader {
 public:
  // `file` names the file in errors, `path` the object inside it ("" for the root, else "text_config" ...).
  ConfigReader(const nlohmann::json& object, std::string file, std::string path = "");

  const nlohmann::json& json() const noexcept { return *object_; }
  // Null when the key is absent or null.
  const nlohmann::json* find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }

  // Whole numbers in [low, high]; 4096.0 counts as whole. `keys` are aliases: one must be there, all present ones must
  // agree.
  uint32_t count(std::initializer_list<std::string_view> keys, uint32_t high, uint32_t low = 1) const;
  uint32_t count(std::string_view key, uint32_t high, uint32_t low = 1) const {
    return count({key}, high, low);
  }
  std::optional<uint32_t> maybe_count(std::string_view key, uint32_t high, uint32_t low = 1) const;
  uint32_t count_or(std::string_view key, uint32_t fallback, uint32_t high, uint32_t low = 1) const;

  // Finite numbers in [low, high].
  double number(std::string_view key, double low, double high) const;
  std::optional<double> maybe_number(std::string_view key, double low, double high) const;
  double number_or(std::string_view key, double fallback, double low, double high) const;

  std::optional<bool> maybe_flag(std::string_view key) const;
  bool flag_or(std::string_view key, bool fallback) const { return maybe_flag(key).value_or(fallback); }
  std::optional<std::string> maybe_string(std::string_view key) const;

  std::optional<ConfigReader> maybe_object(std::string_view key) const;

  // A list of at least `least` entries, each handed to `read` semantics above.
  std::optional<std::vector<std::string>> maybe_strings(std::string_view key, size_t least) const;
  std::optional<std::vector<uint32_t>> maybe_counts(std::string_view key, size_t least, uint32_t high,
                                                    uint32_t low) const;
  // One number or a list of numbers; empty if absent. Token ids are written both ways.
  std::vector<uint32_t> one_or_many(std::string_view key, uint32_t high) const;

  // "config.json: text_config.rope_theta"
  std::string where(std::string_view key) const;
  // "...: text_config.rope_theta is -1, must be ..." (or "is missing, ...")
  [[noreturn]] void fail(std::string_view key, std::string_view wanted) const;
  // The same, as Error{kUnsupported}.
  [[noreturn]] void unsupported(std::string_view key, std::string_view wanted) const;

 private:
  std::optional<uint32_t> whole(const nlohmann::json& value, uint32_t low, uint32_t high) const;
  std::string complaint(std::string_view key, std::string_view wanted) const;

  const nlohmann::json* object_;
  std::string file_;
  std::string path_;
};

// A JSON value short enough for an error message: numbers and words as they are, long text cut, lists and objects by
// their size.
std::string shown(const nlohmann::json& value);

}  // namespace mach
