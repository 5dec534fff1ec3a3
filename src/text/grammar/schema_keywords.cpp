#include "text/grammar/schema_keywords.h"

#include <algorithm>

#include <fmt/format.h>

#include "text/grammar/string_formats.h"

namespace mach::grammar {
namespace {

using Use = KeywordUse;

[[noreturn]] void refuse(const Use& use, std::string_view why) { use.document.refuse(use.where, why); }

uint64_t count(const Use& use) {
  const bool whole =
      use.value.is_number_unsigned() ||
      (use.value.is_number() && use.value.get<double>() >= 0 && types_of(use.value) == kInteger);
  if (!whole) refuse(use, "must be a whole number, not negative");
  const double number = use.value.get<double>();
  return number >= kUnbounded ? kUnbounded : static_cast<uint64_t>(number);
}

SchemaRef child(const Use& use, const Json& schema, std::string_view key) {
  return {&schema, child_pointer(use.where, key)};
}

std::vector<SchemaRef> schema_list(const Use& use) {
  if (!use.value.is_array() || use.value.empty()) refuse(use, "must be a list of schemas, not empty");
  std::vector<SchemaRef> out;
  for (size_t i = 0; i < use.value.size(); ++i) out.push_back(child(use, use.value[i], std::to_string(i)));
  return out;
}

void read_type(const Use& use) {
  struct Name {
    std::string_view name;
    uint8_t types;
  };
  constexpr Name kNames[] = {
      {"null", kNull},     {"boolean", kBoolean}, {"integer", kInteger}, {"number", kInteger | kFraction},
      {"string", kString}, {"array", kArray},     {"object", kObject}};
  const Json names = use.value.is_array() ? use.value : Json::array({use.value});
  uint8_t types = 0;
  for (const Json& name : names) {
    const auto row = std::find_if(std::begin(kNames), std::end(kNames),
                                  [&](const Name& n) { return name.is_string() && name == n.name; });
    if (row == std::end(kNames)) {
      refuse(use,
             fmt::format("{} is no type of JSON", name.dump(-1, ' ', false, Json::error_handler_t::replace)));
    }
    types |= row->types;
  }
  if (const auto nullable = use.schema.find("nullable"); nullable != use.schema.end() && *nullable == true) {
    types |= kNull;
  }
  use.node.types &= types;
  use.node.types_given = true;
}

void keep_values(const Use& use, const std::vector<Json>& values) {
  if (!use.node.values) {
    use.node.values = values;
    return;
  }
  std::erase_if(*use.node.values, [&](const Json& known) {
    return std::find(values.begin(), values.end(), known) == values.end();
  });
}

void read_enum(const Use& use) {
  if (!use.value.is_array()) refuse(use, "must be a list");
  std::vector<Json> values;
  for (const Json& value : use.value) values.push_back(value);
  keep_values(use, values);
}

void read_const(const Use& use) { keep_values(use, {use.value}); }

void read_pattern(const Use& use) {
  if (!use.value.is_string()) refuse(use, "must be a string");
  use.node.patterns.push_back({use.value.get<std::string>(), use.where});
}

void read_format(const Use& use) {
  if (!use.value.is_string()) refuse(use, "must be a string");
  const std::string& name = use.value.get_ref<const std::string&>();
  if (find_string_format(name) == nullptr) refuse(use, fmt::format("format \"{}\" cannot be enforced", name));
  use.node.formats.push_back({name, use.where});
}

Decimal bound(const Use& use) {
  if (!use.value.is_number()) refuse(use, "must be a number");
  const auto decimal = to_decimal(use.value);
  if (!decimal) refuse(use, "must have at most 18 digits before the point");
  return *decimal;
}

// Compares as numbers.
bool less(const Decimal& a, const Decimal& b) {
  if (a.negative != b.negative) return a.negative;
  const auto magnitude_less = [](const Decimal& x, const Decimal& y) {
    if (x.whole.size() != y.whole.size()) return x.whole.size() < y.whole.size();
    return x.whole != y.whole ? x.whole < y.whole : x.fraction < y.fraction;
  };
  return a.negative ? magnitude_less(b, a) : magnitude_less(a, b);
}

void raise_low(const Use& use, bool exclusive) {
  const NumberBound given{bound(use), exclusive};
  auto& low = use.node.low;
  if (!low || less(low->value, given.value) || (!less(given.value, low->value) && exclusive)) low = given;
}

void lower_high(const Use& use, bool exclusive) {
  const NumberBound given{bound(use), exclusive};
  auto& high = use.node.high;
  if (!high || less(given.value, high->value) || (!less(high->value, given.value) && exclusive)) high = given;
}

// Of draft 4: a boolean that changes what minimum means. Rare enough to be refused.
void refuse_boolean(const Use& use) {
  if (use.value.is_boolean()) refuse(use, "must be a number (a boolean is of an older draft)");
}

void read_exclusive_minimum(const Use& use) {
  refuse_boolean(use);
  raise_low(use, true);
}

void read_exclusive_maximum(const Use& use) {
  refuse_boolean(use);
  lower_high(use, true);
}

void read_multiple_of(const Use& use) {
  if (!use.value.is_number() || use.value.get<double>() <= 0) refuse(use, "must be a number above 0");
  use.node.multiples.emplace_back(use.value, use.where);
}

void read_items(const Use& use) {
  if (use.value.is_array()) {  // before 2020-12
    use.array.prefix = schema_list(use);
    return;
  }
  use.array.items = SchemaRef{&use.value, use.where};
}

void read_additional_items(const Use& use) { use.array.behind_prefix = SchemaRef{&use.value, use.where}; }

void read_unique_items(const Use& use) {
  if (use.value != false) refuse(use, "keyword \"uniqueItems\" cannot be enforced");
}

void read_properties(const Use& use) {
  if (!use.value.is_object()) refuse(use, "must be an object");
  for (const auto& [name, schema] : use.value.items()) {
    use.object.properties.emplace_back(name, child(use, schema, name));
  }
}

void read_pattern_properties(const Use& use) {
  if (!use.value.is_object()) refuse(use, "must be an object");
  for (const auto& [pattern, schema] : use.value.items()) {
    SchemaRef ref = child(use, schema, pattern);
    TextRule rule{pattern, ref.where};
    use.object.patterns.emplace_back(std::move(rule), std::move(ref));
  }
}

void read_required(const Use& use) {
  if (!use.value.is_array()) refuse(use, "must be a list of names");
  for (const Json& name : use.value) {
    if (!name.is_string()) refuse(use, "must be a list of names");
    if (!use.node.requires_property(name.get_ref<const std::string&>())) {
      use.node.required.push_back({name.get<std::string>(), use.where});
    }
  }
}

void read_ref(const Use& use) { use.also.push_back(use.document.resolve(use.value, use.where)); }

void read_all_of(const Use& use) {
  for (SchemaRef& ref : schema_list(use)) use.also.push_back(std::move(ref));
}

void read_any_of(const Use& use) {
  use.node.alternatives.push_back({false, &use.value, use.where, schema_list(use)});
}

void read_one_of(const Use& use) {
  use.node.alternatives.push_back({true, &use.value, use.where, schema_list(use)});
}

// Of OpenAPI; read together with `type`, which it widens.
void read_nullable(const Use& use) {
  if (!use.value.is_boolean()) refuse(use, "must be true or false");
  if (use.value == true && !use.schema.contains("type")) refuse(use, "needs a type beside it");
}

constexpr uint8_t kNumbers = kInteger | kFraction;

constexpr SchemaKeyword kKeywords[] = {
    {"$ref", 0, read_ref},
    {"type", 0, read_type},
    {"enum", 0, read_enum},
    {"const", 0, read_const},
    {"allOf", 0, read_all_of},
    {"anyOf", 0, read_any_of},
    {"oneOf", 0, read_one_of},
    {"nullable", 0, read_nullable},

    {"minLength", kString, [](const Use& u) { u.node.min_length = std::max(u.node.min_length, count(u)); }},
    {"maxLength", kString, [](const Use& u) { u.node.max_length = std::min(u.node.max_length, count(u)); }},
    {"pattern", kString, read_pattern},
    {"format", 0, read_format},

    {"minimum", kNumbers, [](const Use& u) { raise_low(u, false); }},
    {"maximum", kNumbers, [](const Use& u) { lower_high(u, false); }},
    {"exclusiveMinimum", kNumbers, read_exclusive_minimum},
    {"exclusiveMaximum", kNumbers, read_exclusive_maximum},
    {"multipleOf", kNumbers, read_multiple_of},

    {"prefixItems", kArray, [](const Use& u) { u.array.prefix = schema_list(u); }},
    {"items", kArray, read_items},
    {"additionalItems", kArray, read_additional_items},
    {"minItems", kArray, [](const Use& u) { u.node.min_items = std::max(u.node.min_items, count(u)); }},
    {"maxItems", kArray, [](const Use& u) { u.node.max_items = std::min(u.node.max_items, count(u)); }},
    {"uniqueItems", kArray, read_unique_items},

    {"properties", kObject, read_properties},
    {"patternProperties", kObject, read_pattern_properties},
    {"additionalProperties", kObject,
     [](const Use& u) {
       u.object.additional = SchemaRef{&u.value, u.where};
     }},
    {"propertyNames", kObject,
     [](const Use& u) {
       u.node.names.push_back({&u.value, u.where});
     }},
    {"required", kObject, read_required},
    {"minProperties", kObject,
     [](const Use& u) { u.node.min_properties = std::max(u.node.min_properties, count(u)); }},
    {"maxProperties", kObject,
     [](const Use& u) { u.node.max_properties = std::min(u.node.max_properties, count(u)); }},

    {"$schema", 0, nullptr},
    {"$id", 0, nullptr},
    {"id", 0, nullptr},
    {"$anchor", 0, nullptr},
    {"$comment", 0, nullptr},
    {"$defs", 0, nullptr},
    {"definitions", 0, nullptr},
    {"title", 0, nullptr},
    {"description", 0, nullptr},
    {"default", 0, nullptr},
    {"example", 0, nullptr},
    {"examples", 0, nullptr},
    {"deprecated", 0, nullptr},
    {"readOnly", 0, nullptr},
    {"writeOnly", 0, nullptr},
    {"contentEncoding", 0, nullptr},
    {"contentMediaType", 0, nullptr},
    {"contentSchema", 0, nullptr},
    {"discriminator", 0, nullptr},     // OpenAPI: says again what oneOf says
    {"propertyOrdering", 0, nullptr},  // some clients add it; the order is the declared one
};

}  // namespace

const SchemaKeyword* find_schema_keyword(std::string_view name) {
  for (const SchemaKeyword& keyword : kKeywords) {
    if (keyword.name == name) return &keyword;
  }
  return nullptr;
}

}  // namespace mach::grammar
