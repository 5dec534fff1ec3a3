// JSON Schemas, read: what a value must satisfy as one flat node, whatever way the schema says it ($ref, allOf, siblings).
// One table says what becomes of every keyword (schema_keywords.cpp); one that is neither enforced nor a mere annotation is
// refused where it stands.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "text/grammar/number_range.h"

namespace mach::grammar {

using Json = nlohmann::ordered_json;

// Bit sets of the kinds of JSON values. Integers are numbers without fraction; "number" is both bits.
enum JsonTypes : uint8_t {
  kNull = 1,
  kBoolean = 2,
  kInteger = 4,
  kFraction = 8,
  kString = 16,
  kArray = 32,
  kObject = 64,
  kAllTypes = 127,
};

uint8_t types_of(const Json& value);

// A schema where it stands in its document, which outlives it.
struct SchemaRef {
  const Json* schema = nullptr;
  std::string where;  // JSON pointer
};

// A value must satisfy all of the schemas. Of the anyOf and oneOf arrays in `chosen` an alternative is among them.
struct Conjunction {
  std::vector<SchemaRef> schemas;
  std::vector<const Json*> chosen;
};

struct TextRule {
  std::string text, where;
};

struct Alternatives {
  bool exclusive = false;  // oneOf
  const Json* array = nullptr;
  std::string where;
  std::vector<SchemaRef> options;
};

// Keywords of objects mean the schema they stand in, so these are not merged.
struct ObjectPart {
  std::vector<std::pair<std::string, SchemaRef>> properties;
  std::vector<std::pair<TextRule, SchemaRef>> patterns;
  std::optional<SchemaRef> additional;

  const SchemaRef* find(std::string_view name) const;
};

struct ArrayPart {
  std::vector<SchemaRef> prefix;
  std::optional<SchemaRef> items;
  std::optional<SchemaRef> behind_prefix;  // additionalItems, which means `items` where that is a list
};

struct SchemaNode {
  std::string where;
  bool never = false;
  uint8_t types = kAllTypes;
  bool types_given = false;
  uint8_t types_implied = 0;  // those that the keywords speak of
  std::optional<std::vector<Json>> values;

  uint64_t min_length = 0, max_length = kUnbounded;
  std::vector<TextRule> patterns, formats;

  std::optional<NumberBound> low, high;
  std::vector<std::pair<Json, std::string>> multiples;

  uint64_t min_items = 0, max_items = kUnbounded;
  std::vector<ArrayPart> arrays;

  uint64_t min_properties = 0, max_properties = kUnbounded;
  std::vector<ObjectPart> objects;
  std::vector<TextRule> required;
  std::vector<SchemaRef> names;

  std::vector<Alternatives> alternatives;

  bool requires_property(std::string_view name) const;
  // What an array may hold at a place, beyond its prefix too.
  Conjunction element(size_t index) const;
  // What an object may hold under a declared name.
  Conjunction property(const std::string& name) const;
};

// The document that references point into.
class SchemaDocument {
 public:
  // `name` stands before the pointers in errors. Throws Error{kInvalidRequest} for a document over the limits.
  SchemaDocument(const Json& root, std::string name);

  SchemaRef root() const { return {&root_, ""}; }
  // reference: the value of a $ref at `where`.
  SchemaRef resolve(const Json& reference, const std::string& where) const;
  SchemaNode read(const Conjunction& all) const;

  [[noreturn]] void refuse(const std::string& where, std::string_view why) const;

 private:
  const Json& root_;
  const std::string name_;
};

std::string child_pointer(const std::string& where, std::string_view key);

}  // namespace mach::grammar
