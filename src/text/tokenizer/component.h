// A component of tokenizer.json (a normaliser, a decoder, ...) while it is read: its JSON value together with the path that
// names it in errors. Everything that is wrong throws: kCorruptFile for a missing field or a wrong JSON type,
// kUnsupported for a value that is well-formed but not ours.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace mach {

class Component {
 public:
  // `value` must outlive the component. `path` is for errors: "tokenizer.json: decoder".
  Component(const nlohmann::json& value, std::string path) : value_(&value), path_(std::move(path)) {}

  const std::string& path() const noexcept { return path_; }
  bool is_null() const noexcept { return value_->is_null(); }
  // The field "type".
  std::string type() const { return string("type"); }

  bool has(const char* key) const;  // present and not null
  std::string string(const char* key) const;
  std::string string_or(const char* key, std::string fallback) const;
  bool boolean(const char* key) const;
  bool boolean_or(const char* key, bool fallback) const;
  uint64_t integer(const char* key, uint64_t limit) const;  // 0 .. limit
  Component child(const char* key) const;
  std::vector<Component> children(const char* key) const;  // of an array
  // {"String": "..."} or {"Regex": "..."}
  struct Pattern {
    std::string text;
    bool is_regex;
    std::string path;
  };
  Pattern pattern(const char* key) const;

  const nlohmann::json& value() const noexcept { return *value_; }

  [[noreturn]] void fail_unsupported(const char* key, std::string_view expected) const;
  [[noreturn]] void fail_corrupt(const char* key, std::string_view expected) const;

 private:
  const nlohmann::json& field(const char* key, std::string_view expected) const;
  std::string show(const char* key) const;

  const nlohmann::json* value_;
  std::string path_;
};

// The depth to which Sequence components may contain each other.
inline constexpr int kMaxSequenceDepth = 16;

}  // namespace mach
