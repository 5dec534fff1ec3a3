#include "text/grammar/schema_node.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <unordered_set>

#include <fmt/format.h>

#include "mach/error.h"

#include "text/grammar/json_schema.h"
#include "text/grammar/regex_pattern.h"
#include "text/grammar/schema_keywords.h"

namespace mach::grammar {
namespace {

constexpr size_t kMaxSchemasAtOnce = 2000;  // that one value must satisfy, references followed

size_t count_values(const Json& value, size_t depth) {
  if (depth > kMaxSchemaDepth) {
    throw Error(ErrorCode::kInvalidRequest, fmt::format("is nested deeper than {} levels", kMaxSchemaDepth));
  }
  size_t count = 1;
  if (value.is_structured()) {
    for (const Json& child : value) count += count_values(child, depth + 1);
  }
  return count;
}

// Of a URI fragment: %XX. JSON pointers have their own escapes on top of it.
std::string percent_decoded(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && i + 2 < text.size() &&
                        std::isxdigit(static_cast<uint8_t>(text[i + 1])) != 0 &&
                        std::isxdigit(static_cast<uint8_t>(text[i + 2])) != 0;
    if (escape) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

uint8_t types_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return kNull;
    case Json::value_t::boolean:
      return kBoolean;
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return kInteger;
    case Json::value_t::number_float: {
      const double number = value.get<double>();
      return number == std::floor(number) ? kInteger : kFraction;
    }
    case Json::value_t::string:
      return kString;
    case Json::value_t::array:
      return kArray;
    default:
      return kObject;
  }
}

std::string child_pointer(const std::string& where, std::string_view key) {
  std::string out = where + "/";
  for (const char c : key) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

const SchemaRef* ObjectPart::find(std::string_view name) const {
  const auto found =
      std::find_if(properties.begin(), properties.end(), [&](const auto& p) { return p.first == name; });
  return found != properties.end() ? &found->second : nullptr;
}

bool SchemaNode::requires_property(std::string_view name) const {
  return std::any_of(required.begin(), required.end(), [&](const TextRule& r) { return r.text == name; });
}

Conjunction SchemaNode::element(size_t index) const {
  Conjunction all;
  for (const ArrayPart& part : arrays) {
    if (index < part.prefix.size()) {
      all.schemas.push_back(part.prefix[index]);
    } else if (part.items) {
      all.schemas.push_back(*part.items);
    }
  }
  return all;
}

Conjunction SchemaNode::property(const std::string& name) const {
  Conjunction all;
  for (const ObjectPart& part : objects) {
    const SchemaRef* declared = part.find(name);
    bool known = declared != nullptr;
    if (known) all.schemas.push_back(*declared);
    for (const auto& [pattern, schema] : part.patterns) {
      if (!compile_pattern(pattern.text).accepts(name)) continue;
      known = true;
      all.schemas.push_back(schema);
    }
    if (!known && part.additional) all.schemas.push_back(*part.additional);
  }
  return all;
}

SchemaDocument::SchemaDocument(const Json& root, std::string name) : root_(root), name_(std::move(name)) {
  try {
    const size_t values = count_values(root, 0);
    if (values > kMaxSchemaValues) {
      throw Error(ErrorCode::kInvalidRequest,
                  fmt::format("has {} values, at most {} are allowed", values, kMaxSchemaValues));
    }
  } catch (const Error& e) {
    refuse("", e.what());
  }
}

void SchemaDocument::refuse(const std::string& where, std::string_view why) const {
  throw Error(ErrorCode::kInvalidRequest, fmt::format("{}#{}: {}", name_, where, why));
}

SchemaRef SchemaDocument::resolve(const Json& reference, const std::string& where) const {
  if (!reference.is_string()) refuse(where, "must be a string");
  const std::string& text = reference.get_ref<const std::string&>();
  if (text != "#" && !text.starts_with("#/")) {
    refuse(where,
           fmt::format("\"{}\" cannot be followed, only references within the schema (#/...) can", text));
  }
  const std::string pointer = percent_decoded(std::string_view(text).substr(1));
  try {
    const Json::json_pointer path(pointer);
    if (root_.contains(path)) return {&root_.at(path), pointer};
  } catch (const Json::exception&) {
    refuse(where, fmt::format("\"{}\" is not a JSON pointer", text));
  }
  refuse(where, fmt::format("\"{}\" leads nowhere", text));
}

SchemaNode SchemaDocument::read(const Conjunction& all) const {
  SchemaNode node;
  if (!all.schemas.empty()) node.where = all.schemas[0].where;
  std::vector<SchemaRef> work(all.schemas.rbegin(), all.schemas.rend());
  std::unordered_set<const Json*> seen;
  while (!work.empty()) {
    const SchemaRef ref = work.back();
    work.pop_back();
    if (!seen.insert(ref.schema).second) continue;
    if (seen.size() > kMaxSchemasAtOnce) refuse(ref.where, "too many schemas apply to one value");
    if (ref.schema->is_boolean()) {
      if (!ref.schema->get<bool>()) node.never = true;
      continue;
    }
    if (!ref.schema->is_object()) refuse(ref.where, "a schema must be an object or a boolean");

    ObjectPart object;
    ArrayPart array;
    std::vector<SchemaRef> also;
    for (const auto& [key, value] : ref.schema->items()) {
      const SchemaKeyword* keyword = find_schema_keyword(key);
      const std::string where = child_pointer(ref.where, key);
      if (keyword == nullptr) {
        if (key.starts_with("x-")) continue;
        refuse(where, fmt::format("keyword \"{}\" cannot be enforced", key));
      }
      if (keyword->read == nullptr) continue;
      node.types_implied |= keyword->implies;
      keyword->read({*this, *ref.schema, value, where, node, object, array, also});
    }
    if (!array.items && !array.prefix.empty()) array.items = array.behind_prefix;
    if (!object.properties.empty() || !object.patterns.empty() || object.additional) {
      node.objects.push_back(std::move(object));
    }
    if (!array.prefix.empty() || array.items) node.arrays.push_back(std::move(array));
    work.insert(work.end(), also.rbegin(), also.rend());
  }
  std::erase_if(node.alternatives, [&](const Alternatives& a) {
    return std::find(all.chosen.begin(), all.chosen.end(), a.array) != all.chosen.end();
  });
  return node;
}

}  // namespace mach::grammar
