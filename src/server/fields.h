// The fields of request objects: one table per object says each field's name, type and what is done with it. The parser
// reads requests through it, and docs/API.md shows the same rows (a test compares them).
//
// A field that is null counts as absent. A field of a wrong type, or one that is refused, is an Error{kInvalidRequest,
// kUnsupported} that begins with its path. A field that no table knows is passed over and reported by unknown().
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace mach::server {

using Json = nlohmann::ordered_json;

// JSON types, to be combined.
enum FieldType : uint8_t {
  kBoolean = 1,
  kInteger = 2,
  kNumber = 4,  // integers too
  kString = 8,
  kArray = 16,
  kObject = 32,
};

enum class Handling : uint8_t {
  kUsed,
  kIgnored,  // accepted, has no effect here
  kRefused,  // what it asks for cannot be done
};

struct FieldRow {
  std::string_view name;
  uint8_t types;  // of FieldType
  Handling handling;
  std::string_view note;  // for docs/API.md
  std::string_view accepted =
      {};  // of a refused field: the JSON value that asks for nothing ("1", "[\"text\"]")
};

struct FieldTable {
  std::string_view name;  // "POST /v1/completions"
  std::span<const FieldRow> rows;
};

std::string type_names(uint8_t types);  // "string or array"
std::string_view handling_name(Handling handling) noexcept;

class FieldReader {
 public:
  // `path` is what error texts put before names: empty for the request itself, "stream_options" inside it.
  FieldReader(const Json& object, const FieldTable& table, std::string path = {});

  std::optional<bool> boolean(std::string_view name) const;
  std::optional<int64_t> integer(std::string_view name, int64_t least, int64_t most) const;
  std::optional<double> number(std::string_view name, double least, double most) const;
  const std::string* text(std::string_view name) const;
  const Json* value(std::string_view name) const;  // null if absent

  bool flag(std::string_view name) const { return boolean(name).value_or(false); }
  const std::string& required_text(std::string_view name) const;
  const Json& required(std::string_view name) const;
  // One of `choices`; empty if absent.
  std::string_view choice(std::string_view name, std::span<const std::string_view> choices) const;

  std::string path(std::string_view name) const;
  [[noreturn]] void refuse(std::string_view name, const std::string& why) const;  // kInvalidRequest
  [[noreturn]] void cannot(std::string_view name, const std::string& why) const;  // kUnsupported

  const std::vector<std::string>& unknown() const noexcept { return unknown_; }

 private:
  const Json& object_;
  const FieldTable& table_;
  const std::string path_;
  std::vector<std::string> unknown_;  // paths
};

// Throws Error{kInvalidRequest} unless it is an object; `path` as above, "the body" if empty.
const Json& as_object(const Json& value, std::string_view path);

}  // namespace mach::server
