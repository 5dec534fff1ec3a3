#include "text/chat/tool_schemas.h"

#include <optional>

#include <nlohmann/json.hpp>

#include "text/chat/json_scanner.h"
#include "text/chat/json_text.h"
#include "text/chat/python_literal.h"

namespace mach {

namespace {

using Json = nlohmann::ordered_json;

constexpr uint8_t bit(JsonKind kind) { return static_cast<uint8_t>(1U << static_cast<unsigned>(kind)); }
constexpr uint8_t kAnyKind = 0x7F;
constexpr int kMaxReferences = 8;  // a chain of $ref longer than this is not followed
constexpr int kMaxUnionMembers =
    256;  // visited for one argument; references may make a small schema a huge union

// Type names that tools in the field use, beside JSON schema's own. A name ending in '*' stands for all that begin so.
struct TypeNameRow {
  std::string_view name;
  ArgumentKind kind;
  uint8_t admitted;
};
constexpr uint8_t kNumberKinds = bit(JsonKind::kInteger) | bit(JsonKind::kNumber);
constexpr TypeNameRow kTypeNames[] = {
    {"string", ArgumentKind::kText, bit(JsonKind::kString)},
    {"str", ArgumentKind::kText, bit(JsonKind::kString)},
    {"text", ArgumentKind::kText, bit(JsonKind::kString)},
    {"varchar", ArgumentKind::kText, bit(JsonKind::kString)},
    {"char", ArgumentKind::kText, bit(JsonKind::kString)},
    {"enum", ArgumentKind::kText, bit(JsonKind::kString)},
    {"null", ArgumentKind::kText, bit(JsonKind::kNull)},
    {"int*", ArgumentKind::kInteger, bit(JsonKind::kInteger)},
    {"uint*", ArgumentKind::kInteger, bit(JsonKind::kInteger)},
    {"long*", ArgumentKind::kInteger, bit(JsonKind::kInteger)},
    {"short*", ArgumentKind::kInteger, bit(JsonKind::kInteger)},
    {"unsigned*", ArgumentKind::kInteger, bit(JsonKind::kInteger)},
    {"num*", ArgumentKind::kNumber, kNumberKinds},
    {"float*", ArgumentKind::kNumber, kNumberKinds},
    {"double", ArgumentKind::kNumber, kNumberKinds},
    {"bool*", ArgumentKind::kBoolean, bit(JsonKind::kBoolean)},
    {"binary", ArgumentKind::kBoolean, bit(JsonKind::kBoolean)},
    {"object", ArgumentKind::kStructured, bit(JsonKind::kObject)},
    {"dict*", ArgumentKind::kStructured, bit(JsonKind::kObject)},
    {"arr*", ArgumentKind::kStructured, bit(JsonKind::kArray)},
    {"list*", ArgumentKind::kStructured, bit(JsonKind::kArray)},
};

const TypeNameRow* find_type_name(std::string_view name) {
  for (const TypeNameRow& row : kTypeNames) {
    const bool open = row.name.ends_with('*');
    const std::string_view stem = row.name.substr(0, row.name.size() - (open ? 1 : 0));
    if (name.size() < stem.size() || (!open && name.size() != stem.size())) continue;
    if (equals_ignoring_case(name.substr(0, stem.size()), stem)) return &row;
  }
  return nullptr;
}

const Json* resolve(const Json& schema, const Json& root) {
  const Json* at = &schema;
  for (int i = 0; i < kMaxReferences && at->is_object(); ++i) {
    const auto ref = at->find("$ref");
    if (ref == at->end() || !ref->is_string()) return at;
    const std::string& target = ref->get_ref<const std::string&>();
    if (!target.starts_with('#')) return nullptr;
    try {
      const Json::json_pointer pointer(target.substr(1));
      if (!root.contains(pointer)) return nullptr;
      at = &root.at(pointer);
    } catch (const Json::exception&) {
      return nullptr;  // not a JSON pointer
    }
  }
  return at->is_object() && !at->contains("$ref") ? at : nullptr;
}

// Which kinds a member of a union admits; a member without a type restricts nothing.
uint8_t admitted_kinds(const Json& schema, const Json& root, int& members_left) {
  const Json* at = resolve(schema, root);
  if (at == nullptr || --members_left < 0) return kAnyKind;
  for (const char* key : {"anyOf", "oneOf"}) {
    const auto members = at->find(key);
    if (members == at->end() || !members->is_array()) continue;
    uint8_t admitted = 0;
    for (const Json& member : *members) {
      if (members_left < 0) return kAnyKind;
      admitted |= admitted_kinds(member, root, members_left);
    }
    return admitted;
  }
  const auto type = at->find("type");
  if (type == at->end()) return at->contains("enum") ? bit(JsonKind::kString) : kAnyKind;
  const Json names = type->is_array() ? *type : Json::array({*type});
  uint8_t admitted = 0;
  for (const Json& name : names) {
    const TypeNameRow* row = name.is_string() ? find_type_name(name.get_ref<const std::string&>()) : nullptr;
    admitted |= row != nullptr ? row->admitted : kAnyKind;
  }
  return admitted;
}

std::optional<std::string> union_json(uint8_t admitted, std::string_view text) {
  const auto admits = [admitted](JsonKind kind) { return (admitted & bit(kind)) != 0; };
  if (const auto kind = json_kind(text)) {
    if (admits(*kind) || (*kind == JsonKind::kInteger && admits(JsonKind::kNumber))) {
      return std::string(trimmed(text));
    }
  }
  const auto number = to_json_number(text);
  if (number && admits(number->whole ? JsonKind::kInteger : JsonKind::kNumber)) return number->text;
  for (const std::string_view word : {"true", "false"}) {
    if (admits(JsonKind::kBoolean) && equals_ignoring_case(trimmed(text), word)) return std::string(word);
  }
  if (auto literal = python_literal_to_json(text)) {
    const auto kind = json_kind(*literal);
    if ((kind == JsonKind::kObject || kind == JsonKind::kArray) && admits(*kind)) return literal;
  }
  return std::nullopt;
}

}  // namespace

ArgumentType argument_type(const Json& schema, const Json& root) {
  const Json* at = resolve(schema, root);
  if (at == nullptr) return {};
  const auto type = at->find("type");
  if (at->contains("anyOf") || at->contains("oneOf") || (type != at->end() && type->is_array())) {
    int members_left = kMaxUnionMembers;
    return {ArgumentKind::kUnion, admitted_kinds(*at, root, members_left)};
  }
  if (type == at->end() || !type->is_string()) return {};
  const TypeNameRow* row = find_type_name(type->get_ref<const std::string&>());
  return {row != nullptr ? row->kind : ArgumentKind::kText, 0};
}

std::string argument_json(const ArgumentType& type, std::string_view text) {
  if (equals_ignoring_case(text, "null")) return "null";
  switch (type.kind) {
    case ArgumentKind::kText:
      break;
    case ArgumentKind::kInteger:
    case ArgumentKind::kNumber: {
      auto number = to_json_number(text);
      if (number && (number->whole || type.kind == ArgumentKind::kNumber)) return std::move(number->text);
      break;
    }
    case ArgumentKind::kBoolean:
      return equals_ignoring_case(trimmed(text), "true") ? "true" : "false";
    case ArgumentKind::kStructured:
      if (json_kind(text)) return std::string(trimmed(text));
      if (auto literal = python_literal_to_json(text)) return *std::move(literal);
      break;
    case ArgumentKind::kUnion:
      if (auto json = union_json(type.admitted, text)) return *std::move(json);
      break;
  }
  return json_quoted(text);
}

ToolSchemas::ToolSchemas(const Json& tools) {
  if (!tools.is_array()) return;
  for (const Json& tool : tools) {
    if (!tool.is_object() || !tool.contains("function")) continue;
    const Json& function = tool["function"];
    if (!function.is_object() || !function.contains("name") || !function["name"].is_string()) continue;
    Arguments& arguments = tools_[function["name"].get<std::string>()];
    const auto parameters = function.find("parameters");
    if (parameters == function.end() || !parameters->is_object()) continue;
    const auto properties = parameters->find("properties");
    if (properties == parameters->end() || !properties->is_object()) continue;
    for (const auto& [name, schema] : properties->items())
      arguments[name] = argument_type(schema, *parameters);
  }
}

const ArgumentType* ToolSchemas::find(std::string_view tool, std::string_view argument) const {
  const auto arguments = tools_.find(tool);
  if (arguments == tools_.end()) return nullptr;
  const auto type = arguments->second.find(argument);
  return type != arguments->second.end() ? &type->second : nullptr;
}

}  // namespace mach
