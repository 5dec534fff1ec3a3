// Objects of a schema: members in declared order, then those that additionalProperties and patternProperties allow.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "mach/error.h"

#include "text/grammar/regex_pattern.h"
#include "text/grammar/schema_compiler.h"

namespace mach::grammar {
namespace {

constexpr size_t kMaxMemberNodes = 20'000;  // of the graph of one object

bool impossible(const Conjunction& all) {
  return std::any_of(all.schemas.begin(), all.schemas.end(),
                     [](const SchemaRef& ref) { return *ref.schema == false; });
}

std::vector<std::string> declared_names(const SchemaNode& node) {
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  for (const ObjectPart& part : node.objects) {
    for (const auto& [name, schema] : part.properties) add(name);
  }
  for (const TextRule& rule : node.required) add(rule.text);
  return names;
}

struct Members {
  struct Declared {
    ExprId expr;
    bool required;
  };
  std::vector<Declared> declared;
  std::vector<ExprId> further;
};

// The members of an object as a graph over (how many declared ones are decided, how many are written), the latter only as
// far as minProperties and maxProperties ask for it. A member's comma belongs to the edge before it.
class MemberGraph {
 public:
  MemberGraph(GrammarBuilder& builder, ExprId comma, const Members& members, uint64_t min, uint64_t max)
      : b_(builder), comma_(comma), members_(members), min_(min), bounded_(max != kUnbounded) {
    most_ = static_cast<uint32_t>(bounded_ ? max : std::max<uint64_t>(min, 1));
  }

  // Whether a member's expression stands in the graph more than once.
  static bool counts(uint64_t min, uint64_t max) { return min > 1 || max != kUnbounded; }

  ExprId build() {
    const ExprId nothing = b_.empty();
    const auto declared = static_cast<uint32_t>(members_.declared.size());
    node(0, 0, false);
    for (size_t done = 0; done < places_.size(); ++done) {
      const Place at = places_[done];
      const auto self = static_cast<uint32_t>(done);
      const bool last = at.decided == declared;
      if (!at.separated) {
        if (at.written > 0 && last && at.written >= min_) accepting_.push_back(self);
        if (!last && !members_.declared[at.decided].required) {
          edges_.push_back({self, node(at.decided + 1, at.written, false), nothing});
        }
        const bool full = bounded_ && at.written >= most_;
        if (full || (last && members_.further.empty())) continue;
        const uint32_t counted = counts(min_, bounded_ ? most_ : kUnbounded) ? at.written : 0;
        edges_.push_back({self, node(at.decided, counted, true), at.written > 0 ? comma_ : nothing});
        continue;
      }
      const uint32_t written = std::min(at.written + 1, most_);
      if (!last) {
        edges_.push_back({self, node(at.decided + 1, written, false), members_.declared[at.decided].expr});
      }
      for (const ExprId further : last ? members_.further : std::vector<ExprId>{}) {
        edges_.push_back({self, node(at.decided, written, false), further});
      }
    }
    return b_.graph(static_cast<uint32_t>(places_.size()), std::move(edges_), std::move(accepting_));
  }

 private:
  struct Place {
    uint32_t decided = 0, written = 0;
    bool separated = false;  // a member must follow
    auto operator<=>(const Place&) const = default;
  };

  uint32_t node(uint32_t decided, uint32_t written, bool separated) {
    const Place place{decided, written, separated};
    const auto [it, fresh] = nodes_.try_emplace(place, static_cast<uint32_t>(places_.size()));
    if (fresh) {
      if (places_.size() >= kMaxMemberNodes) {
        throw Error(ErrorCode::kInvalidRequest, "minProperties or maxProperties: too many members to count");
      }
      places_.push_back(place);
    }
    return it->second;
  }

  GrammarBuilder& b_;
  const ExprId comma_;
  const Members& members_;
  const uint64_t min_;
  const bool bounded_;
  uint32_t most_ = 0;  // written members are counted up to here
  std::map<Place, uint32_t> nodes_;
  std::vector<Place> places_;
  std::vector<GraphEdge> edges_;
  std::vector<uint32_t> accepting_;
};

}  // namespace

ExprId SchemaCompiler::member(ExprId key, const Conjunction& all) {
  return b_.sequence({key, json_.colon(), value(all)});
}

ExprId SchemaCompiler::object(const SchemaNode& node) {
  const std::vector<std::string> names = declared_names(node);
  CharDfa allowed_names = CharDfa::all();
  if (!node.names.empty()) allowed_names = strings(document_.read({node.names, {}}));

  Members members;
  for (const std::string& name : names) {
    const Conjunction all = node.property(name);
    const bool required = node.requires_property(name);
    if (impossible(all) || !allowed_names.accepts(name)) {
      if (required) return b_.nothing();
      continue;
    }
    members.declared.push_back({member(json_.key(name), all), required});
  }
  members.further = further_members(node, names);

  const auto required = static_cast<size_t>(std::count_if(members.declared.begin(), members.declared.end(),
                                                          [](const auto& m) { return m.required; }));
  const uint64_t min = node.min_properties <= required ? 0 : node.min_properties;
  if (!members.further.empty() && min > 1) {
    // A further name may come twice, which counts once.
    document_.refuse(node.where,
                     "minProperties above 1 can only be enforced where additionalProperties is false");
  }
  uint64_t max = node.max_properties;
  if (members.further.empty() && max >= members.declared.size()) max = kUnbounded;
  if (max < required || min > max) return b_.nothing();
  const bool may_be_empty = required == 0 && min == 0;
  if (max == 0 || (members.declared.empty() && members.further.empty())) {
    return may_be_empty ? b_.bytes("{}") : b_.nothing();
  }
  if (MemberGraph::counts(min, max)) {
    for (auto& m : members.declared) m.expr = b_.define_rule("member", m.expr, true);
    for (ExprId& m : members.further) m = b_.define_rule("member", m, true);
  }
  return json_.braces(MemberGraph(b_, json_.comma(), members, min, max).build(), may_be_empty);
}

// Members under names that are not declared, one expression for each way in which they may be allowed.
std::vector<ExprId> SchemaCompiler::further_members(const SchemaNode& node,
                                                    std::span<const std::string> declared) {
  Conjunction additional;
  bool given = false;
  const ObjectPart* patterned = nullptr;
  for (const ObjectPart& part : node.objects) {
    if (part.additional) {
      given = true;
      additional.schemas.push_back(*part.additional);
    }
    if (part.patterns.empty()) continue;
    if (patterned != nullptr) {
      document_.refuse(part.patterns[0].first.where,
                       "patternProperties of two schemas cannot be enforced together");
    }
    patterned = &part;
  }
  const bool open = given ? !impossible(additional) : declared.empty() && patterned == nullptr;
  std::vector<ExprId> out;
  if (!open && patterned == nullptr) return out;

  if (open && declared.empty() && patterned == nullptr && node.names.empty()) {
    out.push_back(member(json_.string(), additional));
    return out;
  }
  CharDfa names = CharDfa::all().without(CharDfa::words(declared));
  if (!node.names.empty()) names = names.intersected(strings(document_.read({node.names, {}})));
  const auto add = [&](const CharDfa& keys, const Conjunction& all) {
    if (keys.empty()) return;
    out.push_back(member(b_.define_rule("key", json_.quoted(keys), true), all));
  };
  if (patterned != nullptr) {
    CharDfa rest = names;
    for (const auto& [pattern, schema] : patterned->patterns) {
      CharDfa keys = CharDfa::all();
      try {
        keys = names.intersected(compile_pattern(pattern.text));
      } catch (const Error& e) {
        document_.refuse(pattern.where, fmt::format("pattern cannot be enforced: {}", e.what()));
      }
      if (!keys.without(rest).empty()) {
        document_.refuse(pattern.where,
                         "patterns of patternProperties that may match the same name cannot be enforced");
      }
      rest = rest.without(keys);
      Conjunction all{{schema}, {}};
      for (const ObjectPart& part : node.objects) {
        if (&part != patterned && part.additional) all.schemas.push_back(*part.additional);
      }
      if (!impossible(all)) add(keys, all);
    }
    names = rest;
  }
  if (open) add(names, additional);
  return out;
}

}  // namespace mach::grammar
