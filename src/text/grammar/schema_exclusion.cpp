// Whether two alternatives of a oneOf exclude each other, as far as that shows.
#include <algorithm>

#include "text/grammar/schema_compiler.h"

namespace mach::grammar {
namespace {

constexpr int kMaxDepth = 4;
constexpr uint8_t kNumberTypes = kInteger | kFraction;

// written: of the values that mach writes, which without a type are those that the keywords speak of.
uint8_t possible_types(const SchemaNode& node, bool written) {
  if (!node.values) {
    const bool implied = written && !node.types_given && node.types_implied != 0;
    return implied ? node.types & node.types_implied : node.types;
  }
  uint8_t types = 0;
  for (const Json& value : *node.values) types |= types_of(value) & node.types;
  return types;
}

double magnitude(const Decimal& d) {
  return std::stod((d.negative ? "-" : "") + d.whole + "." + d.fraction + "0");
}

bool ranges_apart(const SchemaNode& below, const SchemaNode& above) {
  if (!below.high || !above.low) return false;
  const double high = magnitude(below.high->value);
  const double low = magnitude(above.low->value);
  return high < low || (high == low && (below.high->exclusive || above.low->exclusive));
}

bool may_have(const SchemaNode& node, const std::string& name) {
  if (node.requires_property(name)) return true;
  bool any_declared = false;
  for (const ObjectPart& part : node.objects) {
    if (part.find(name) != nullptr || !part.patterns.empty()) return true;
    if (part.additional && *part.additional->schema != false) return true;
    any_declared |= !part.properties.empty() || part.additional.has_value();
  }
  return !any_declared && node.required.empty();  // else it is closed, see further_members()
}

bool objects_apart(const SchemaDocument& document, const SchemaNode& made, const SchemaNode& other,
                   int depth) {
  for (const TextRule& rule : other.required) {
    if (!may_have(made, rule.text)) return true;
    if (!made.requires_property(rule.text)) continue;
    const SchemaNode mine = document.read(made.property(rule.text));
    const SchemaNode theirs = document.read(other.property(rule.text));
    if (never_both(document, mine, theirs, depth + 1)) return true;
  }
  // A property that `made` always writes and `other` forbids or types differently.
  for (const TextRule& rule : made.required) {
    const Conjunction theirs = other.property(rule.text);
    if (theirs.schemas.empty()) continue;
    if (never_both(document, document.read(made.property(rule.text)), document.read(theirs), depth + 1))
      return true;
  }
  return false;
}

}  // namespace

bool never_both(const SchemaDocument& document, const SchemaNode& made, const SchemaNode& other, int depth) {
  if (made.never || other.never) return true;
  if (depth > kMaxDepth) return false;
  const uint8_t common = possible_types(made, true) & possible_types(other, false);
  // Every number without fraction is an integer too, whatever its type was called.
  if (common == 0) return true;
  if (made.values && other.values) {
    return std::none_of(made.values->begin(), made.values->end(), [&](const Json& value) {
      return std::find(other.values->begin(), other.values->end(), value) != other.values->end();
    });
  }
  if ((common & ~kNumberTypes) == 0) return ranges_apart(made, other) || ranges_apart(other, made);
  if (common == kObject) return objects_apart(document, made, other, depth);
  return false;
}

}  // namespace mach::grammar
