#include "text/grammar/schema_compiler.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "mach/error.h"

#include "base/utf8.h"
#include "text/grammar/json_schema.h"
#include "text/grammar/regex_pattern.h"
#include "text/grammar/string_formats.h"

namespace mach::grammar {
namespace {

constexpr uint32_t kBoundedFractionDigits = 15;  // of bounded numbers; a double holds as many
constexpr size_t kMaxCompileDepth = 128;         // schemas within schemas, references apart

bool has_reference(const Conjunction& all) {
  return std::any_of(all.schemas.begin(), all.schemas.end(), [](const SchemaRef& ref) {
    return ref.schema->is_object() && ref.schema->contains("$ref");
  });
}

constexpr std::string_view kSaysNothing[] = {"$ref",     "$defs",   "definitions", "$schema", "$id",
                                             "$comment", "default", "description", "title"};

// A schema that says nothing but {"$ref": ...}, annotations and definitions apart.
const Json* sole_reference(const Conjunction& all) {
  if (all.schemas.size() != 1 || !has_reference(all)) return nullptr;
  for (const auto& [key, value] : all.schemas[0].schema->items()) {
    if (std::find(std::begin(kSaysNothing), std::end(kSaysNothing), key) == std::end(kSaysNothing)) {
      return nullptr;
    }
  }
  return &*all.schemas[0].schema->find("$ref");
}

bool says_nothing_else(const SchemaNode& node) {
  return !node.never && node.types == kAllTypes && node.types_implied == 0 && !node.values &&
         node.formats.empty() && node.alternatives.size() == 1;
}

double as_double(const Decimal& d) {
  return std::stod((d.negative ? "-" : "") + d.whole + "." + d.fraction + "0");
}

// The k of 10^-k, if it is one.
std::optional<uint32_t> decimal_places(const Json& multiple) {
  const auto decimal = to_decimal(multiple);
  if (!decimal || decimal->whole != "0" || decimal->fraction.empty()) return std::nullopt;
  const std::string& digits = decimal->fraction;
  if (digits.back() != '1' || digits.find_first_not_of('0') != digits.size() - 1) return std::nullopt;
  return static_cast<uint32_t>(digits.size());
}

}  // namespace

void SchemaCompiler::count_node(const std::string& where) {
  if (++nodes_ > kMaxSchemaNodes) {
    document_.refuse(where,
                     fmt::format("the schema is too large: more than {} parts, alternatives multiplied out",
                                 kMaxSchemaNodes));
  }
}

ExprId SchemaCompiler::value(const Conjunction& all) {
  Conjunction at = all;
  bool by_reference = false;
  for (size_t hops = 0; const Json* reference = sole_reference(at); ++hops) {
    if (hops > kMaxSchemaDepth) document_.refuse(at.schemas[0].where, "references go round in a circle");
    at.schemas[0] = document_.resolve(*reference, child_pointer(at.schemas[0].where, "$ref"));
    by_reference = true;
  }
  if (!by_reference && !has_reference(at)) return inline_value(at);

  Key key;
  for (const SchemaRef& ref : at.schemas) key.first.push_back(ref.schema);
  key.second = at.chosen;
  for (auto* list : {&key.first, &key.second}) {
    std::sort(list->begin(), list->end());
    list->erase(std::unique(list->begin(), list->end()), list->end());
  }
  const auto [it, fresh] = rules_.try_emplace(std::move(key), RuleId{});
  if (fresh) {
    it->second = b_.declare("schema #" + at.schemas[0].where, true);
    pending_.emplace_back(it->second, at);
  }
  return b_.rule(it->second);
}

void SchemaCompiler::finish() {
  while (!pending_.empty()) {
    const auto [rule, all] = std::move(pending_.back());
    pending_.pop_back();
    b_.define(rule, inline_value(all));
  }
}

ExprId SchemaCompiler::inline_value(const Conjunction& all) {
  const SchemaNode node = document_.read(all);
  count_node(node.where);
  if (node.never) return b_.nothing();
  if (depth_ > kMaxCompileDepth) document_.refuse(node.where, "the schema is nested too deeply");
  ++depth_;
  const ExprId out = node.alternatives.empty() ? of_types(node) : alternatives(all, node);
  --depth_;
  return out;
}

// One group of alternatives is multiplied out with everything else; the rest follow in the recursion.
ExprId SchemaCompiler::alternatives(const Conjunction& all, const SchemaNode& node) {
  const Alternatives& group = node.alternatives[0];
  std::vector<Conjunction> options;
  for (const SchemaRef& option : group.options) {
    Conjunction with;
    if (!says_nothing_else(node)) with = all;
    if (!with.schemas.empty()) with.chosen.push_back(group.array);
    with.schemas.push_back(option);
    options.push_back(std::move(with));
  }
  if (group.exclusive) {
    if (options.size() > 64) document_.refuse(group.where, "oneOf with more than 64 alternatives; use anyOf");
    std::vector<SchemaNode> nodes;
    nodes.reserve(options.size());
    for (const Conjunction& option : options) nodes.push_back(document_.read(option));
    for (size_t i = 0; i < nodes.size(); ++i) {
      for (size_t j = 0; j < nodes.size(); ++j) {
        if (i == j || never_both(document_, nodes[i], nodes[j])) continue;
        document_.refuse(
            group.where,
            fmt::format("oneOf cannot be enforced: alternatives {} and {} may both hold; give them "
                        "different types or a property with different const values, or use anyOf",
                        std::min(i, j), std::max(i, j)));
      }
    }
  }
  std::vector<ExprId> ways;
  ways.reserve(options.size());
  for (const Conjunction& option : options) ways.push_back(value(option));
  return b_.choice(std::move(ways));
}

ExprId SchemaCompiler::of_types(const SchemaNode& node) {
  if (node.values) return listed_values(node);
  uint8_t types = node.types;
  if (!node.types_given && node.types_implied != 0) types &= node.types_implied;
  if (!node.types_given && types == kAllTypes && !node.formats.empty()) types = kString;
  if (types == kAllTypes && node.types_implied == 0) return json_.value();

  std::vector<ExprId> ways;
  if ((types & kNull) != 0) ways.push_back(b_.bytes("null"));
  if ((types & kBoolean) != 0) {
    ways.push_back(b_.bytes("true"));
    ways.push_back(b_.bytes("false"));
  }
  if ((types & kInteger) != 0 || (types & kFraction) != 0)
    ways.push_back(numbers(node, (types & kFraction) != 0));
  if ((types & kString) != 0) ways.push_back(string(node));
  if ((types & kArray) != 0) ways.push_back(array(node));
  if ((types & kObject) != 0) ways.push_back(object(node));
  return ways.empty() ? b_.nothing() : b_.choice(std::move(ways));
}

ExprId SchemaCompiler::listed_values(const SchemaNode& node) {
  std::vector<ExprId> ways;
  for (const Json& value : *node.values) {
    count_node(node.where);
    if (admits(node, value)) ways.push_back(json_.literal(value));
  }
  return ways.empty() ? b_.nothing() : b_.choice(std::move(ways));
}

// Whether a listed value also satisfies what stands beside the list.
bool SchemaCompiler::admits(const SchemaNode& node, const Json& value) {
  const uint8_t type = types_of(value);
  if ((node.types & type) == 0) return false;
  switch (type) {
    case kInteger:
    case kFraction: {
      const double number = value.get<double>();
      if (node.low && (number < as_double(node.low->value) ||
                       (node.low->exclusive && number == as_double(node.low->value))))
        return false;
      if (node.high && (number > as_double(node.high->value) ||
                        (node.high->exclusive && number == as_double(node.high->value))))
        return false;
      return std::all_of(node.multiples.begin(), node.multiples.end(), [&](const auto& m) {
        return std::fmod(number, m.first.template get<double>()) == 0;
      });
    }
    case kString:
      return unlisted_strings(node).accepts(value.get_ref<const std::string&>());
    case kArray:
      if (!node.arrays.empty() || node.min_items > value.size() || node.max_items < value.size()) {
        document_.refuse(node.where, "a list of arrays beside other keywords of arrays cannot be enforced");
      }
      return true;
    case kObject:
      if (!node.objects.empty() || !node.required.empty() || !node.names.empty() || node.min_properties > 0) {
        document_.refuse(node.where, "a list of objects beside other keywords of objects cannot be enforced");
      }
      return true;
    default:
      return true;
  }
}

ExprId SchemaCompiler::numbers(const SchemaNode& node, bool fractions) {
  NumberRange range{
      .low = node.low, .high = node.high, .fraction_digits = fractions ? kBoundedFractionDigits : 0};
  for (const TextRule& rule : node.formats) {
    const StringFormat* format = find_string_format(rule.text);
    if (format->low == format->high) continue;
    fractions = false;
    range.fraction_digits = 0;
    const auto bound = [](int64_t value) { return NumberBound{*to_decimal(Json(value)), false}; };
    if (!range.low) range.low = bound(format->low);
    if (!range.high) range.high = bound(format->high);
  }
  bool plain = !range.low && !range.high;
  for (const auto& [multiple, where] : node.multiples) {
    if (const auto places = decimal_places(multiple)) {
      range.fraction_digits = std::min(range.fraction_digits, *places);
    } else {
      const double step = multiple.get<double>();
      if (types_of(multiple) != kInteger || step > kMaxMultiple ||
          (range.multiple_of != 1 && range.multiple_of != step)) {
        document_.refuse(where,
                         fmt::format("multipleOf {} cannot be enforced, only whole numbers up to {} and "
                                     "0.1, 0.01 ... can",
                                     multiple.dump(), kMaxMultiple));
      }
      range.fraction_digits = 0;
      range.multiple_of = static_cast<uint32_t>(step);
    }
    plain = false;
  }
  if (plain) return fractions ? json_.number() : json_.integer();
  return number_range(b_, range);
}

CharDfa SchemaCompiler::strings(const SchemaNode& node) {
  if (!node.alternatives.empty()) {
    document_.refuse(node.where, "anyOf and oneOf cannot be enforced here");
  }
  if (node.never || (node.types & kString) == 0) return CharDfa::words({});
  CharDfa texts = unlisted_strings(node);
  if (!node.values) return texts;
  std::vector<std::string> words;
  for (const Json& value : *node.values) {
    if (value.is_string()) words.push_back(value.get<std::string>());
  }
  return texts.intersected(CharDfa::words(words));
}

CharDfa SchemaCompiler::unlisted_strings(const SchemaNode& node) {
  CharDfa texts = CharDfa::all();
  const auto restrict_to = [&](std::string_view pattern, const std::string& where) {
    try {
      texts = texts.intersected(compile_pattern(pattern));
    } catch (const Error& e) {
      document_.refuse(where, fmt::format("pattern cannot be enforced: {}", e.what()));
    }
  };
  for (const TextRule& rule : node.patterns) restrict_to(rule.text, rule.where);
  for (const TextRule& rule : node.formats) {
    const StringFormat* format = find_string_format(rule.text);
    if (!format->pattern.empty()) restrict_to(format->pattern, rule.where);
  }
  if (node.min_length > 0 || node.max_length != kUnbounded) {
    if (node.min_length > node.max_length) return texts.without(CharDfa::all());
    try {
      texts = texts.intersected(CharDfa::length(node.min_length, node.max_length));
    } catch (const Error& e) {
      document_.refuse(node.where,
                       fmt::format("minLength or maxLength beside a pattern, format or list: {}", e.what()));
    }
  }
  return texts;
}

ExprId SchemaCompiler::string(const SchemaNode& node) {
  const bool patterned = !node.patterns.empty() ||
                         std::any_of(node.formats.begin(), node.formats.end(), [](const TextRule& rule) {
                           return !find_string_format(rule.text)->pattern.empty();
                         });
  if (node.min_length > node.max_length) return b_.nothing();
  if (!patterned) {
    return json_.string(static_cast<uint32_t>(std::min<uint64_t>(node.min_length, kUnbounded - 1)),
                        static_cast<uint32_t>(node.max_length));
  }
  return json_.quoted(unlisted_strings(node));
}

ExprId SchemaCompiler::array(const SchemaNode& node) {
  size_t prefix = 0;
  bool open = true;  // elements behind the prefix are allowed
  bool any_items = false;
  for (const ArrayPart& part : node.arrays) {
    prefix = std::max(prefix, part.prefix.size());
    any_items |= part.items.has_value();
    if (part.items && *part.items->schema == false) open = false;
  }
  if (prefix > 0 && !any_items && node.min_items <= prefix) open = false;
  const uint64_t min = node.min_items;
  const uint64_t max = open ? node.max_items : std::min<uint64_t>(node.max_items, prefix);
  if (min > max) return b_.nothing();
  prefix = std::min<size_t>(prefix, max);

  // Node i: i elements of the prefix are written; the last one: some behind it, too.
  std::vector<GraphEdge> edges;
  std::vector<uint32_t> accepting;
  for (uint32_t i = 0; i < prefix; ++i) {
    const ExprId element = value(node.element(i));
    edges.push_back({i, i + 1, i == 0 ? element : b_.sequence({json_.comma(), element})});
    if (i + 1 >= min) accepting.push_back(i + 1);
  }
  const auto last = static_cast<uint32_t>(prefix);
  if (max > prefix) {
    // The element's expression stands in the graph once: nested arrays would double it at every level.
    const bool counted = min > prefix + 1 || max != kUnbounded;
    const ExprId element = value(node.element(prefix));
    const ExprId item = counted ? b_.define_rule("item", element, true) : element;
    if (!counted) {
      edges.push_back({last, last + 1, prefix == 0 ? b_.empty() : json_.comma()});
      edges.push_back({last + 1, last + 2, item});
      edges.push_back({last + 2, last + 1, json_.comma()});
    } else {
      const uint64_t first = prefix == 0 ? 1 : 0;
      const uint64_t done = prefix + first;
      const uint64_t least = std::max<uint64_t>(min, prefix + 1) - done;
      const ExprId rest = b_.repeat(b_.sequence({json_.comma(), item}),
                                    static_cast<uint32_t>(std::min<uint64_t>(least, kUnbounded - 1)),
                                    max == kUnbounded ? kUnbounded : static_cast<uint32_t>(max - done));
      edges.push_back({last, last + 2, first == 1 ? b_.sequence({item, rest}) : rest});
    }
    accepting.push_back(last + 2);
  }
  if (edges.empty()) return b_.bytes("[]");
  return json_.brackets(b_.graph(last + 3, std::move(edges), std::move(accepting)), min == 0);
}

ExprId json_schema_expression(GrammarBuilder& builder, JsonGrammar& json,
                              const nlohmann::ordered_json& schema, const std::string& name) {
  const SchemaDocument document(schema, name);
  SchemaCompiler compiler(builder, json, document);
  try {
    const ExprId root = compiler.value({{document.root()}, {}});
    compiler.finish();
    return root;
  } catch (const Error& e) {
    const std::string_view what = e.what();
    if (what.starts_with(name)) throw;
    document.refuse("", what);
  }
}

Grammar json_schema_grammar(const nlohmann::ordered_json& schema, const std::string& name) {
  GrammarBuilder builder;
  JsonGrammar json(builder);
  const ExprId value = json_schema_expression(builder, json, schema, name);
  const RuleId root = builder.declare("root");
  builder.define(root, value);
  return std::move(builder).finish(root);
}

}  // namespace mach::grammar
