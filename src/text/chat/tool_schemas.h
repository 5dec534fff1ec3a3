// What a request says about its tools, as far as output parsing needs it: the names, and the types of their arguments.
// The XML wire format writes every value as plain text; the type decides which JSON value that text is.
// Immutable after construction, so it may be shared between threads.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace mach {

enum class ArgumentKind : uint8_t {
  kText,  // strings, and whatever has no usable type
  kInteger,
  kNumber,
  kBoolean,
  kStructured,  // object or array
  kUnion,       // several of them: a list of types, anyOf, oneOf
};

struct ArgumentType {
  ArgumentKind kind = ArgumentKind::kText;
  uint8_t admitted = 0;  // of a union: bit (1 << JsonKind) for each kind it admits
};

// The JSON text of the value that `text` is under `type`:
//   "null" in any case     null, whatever the type
//   integer                a number without fraction; else text
//   number                 a number, an integer if it is whole; else text
//   boolean                "true" in any case is true, all else false
//   object, array          JSON, else a Python literal, else text
//   union                  JSON or a Python literal of an admitted kind, else text
std::string argument_json(const ArgumentType& type, std::string_view text);

// The type that a JSON schema (the value of one property) stands for. `root` is the tool's whole parameter schema, in
// which local references ("#/$defs/...") are looked up.
ArgumentType argument_type(const nlohmann::ordered_json& schema, const nlohmann::ordered_json& root);

class ToolSchemas {
 public:
  ToolSchemas() = default;
  // tools: an OpenAI tools array (see normalise_tools); entries that are not functions are passed over.
  explicit ToolSchemas(const nlohmann::ordered_json& tools);

  bool empty() const { return tools_.empty(); }
  bool has_tool(std::string_view tool) const { return tools_.contains(tool); }
  // Null if the tool or the argument is not declared.
  const ArgumentType* find(std::string_view tool, std::string_view argument) const;

 private:
  using Arguments = std::map<std::string, ArgumentType, std::less<>>;
  std::map<std::string, Arguments, std::less<>> tools_;
};

}  // namespace mach
