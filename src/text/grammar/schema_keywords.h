// The table of JSON Schema's keywords and what mach does about each.
#pragma once

#include <string>
#include <string_view>

#include "text/grammar/schema_node.h"

namespace mach::grammar {

struct KeywordUse {
  const SchemaDocument& document;
  const Json& schema;        // the object that the keyword stands in
  const Json& value;         // of the keyword
  const std::string& where;  // pointer to it
  SchemaNode& node;          // what is known so far
  ObjectPart& object;        // of `schema`
  ArrayPart& array;
  std::vector<SchemaRef>& also;  // further schemas that must hold
};

struct SchemaKeyword {
  std::string_view name;
  uint8_t implies;                  // the types that it speaks of
  void (*read)(const KeywordUse&);  // null: an annotation, which restricts nothing
};

const SchemaKeyword* find_schema_keyword(std::string_view name);  // null: it cannot be enforced

}  // namespace mach::grammar
