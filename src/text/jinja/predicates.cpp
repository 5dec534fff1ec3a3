#include <algorithm>
#include <array>

#include "text/jinja/args.h"
#include "text/jinja/cursor.h"
#include "text/jinja/filters.h"
#include "text/jinja/methods.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"

namespace mach::jinja {
namespace {

using Args = const Arguments&;

template <bool (*Test)(const Value&)>
bool simple(Runtime&, const Value& subject, Args arguments) {
  const Parameters none("test", arguments, {});
  return Test(subject);
}

bool is_defined(const Value& v) { return !v.is_undefined(); }
bool is_undefined(const Value& v) { return v.is_undefined(); }
bool is_none(const Value& v) { return v.is_none(); }
bool is_boolean(const Value& v) { return v.is(Kind::kBool); }
bool is_true(const Value& v) { return v.is(Kind::kBool) && v.as_bool(); }
bool is_false(const Value& v) { return v.is(Kind::kBool) && !v.as_bool(); }
bool is_integer(const Value& v) { return v.is(Kind::kInt) || v.is(Kind::kBigInt); }
bool is_float(const Value& v) { return v.is(Kind::kFloat); }
bool is_any_number(const Value& v) { return v.is_number() || v.is(Kind::kBigInt); }
bool is_text(const Value& v) { return v.is_string(); }
bool is_mapping(const Value& v) { return v.is_dict(); }
bool is_any_iterable(const Value& v) { return is_iterable(v); }
bool is_escaped(const Value& v) { return v.is_string() && v.string().safe(); }
// Python's Undefined has all the methods of a sequence and can be "called".
bool is_any_sequence(const Value& v) {
  return v.is_string() || v.is_sequence() || v.is_dict() || v.is_undefined() ||
         (v.is(Kind::kObject) && v.object().indexable());
}
bool is_callable(const Value& v) {
  return v.is_undefined() || (v.is(Kind::kObject) && v.object().callable());
}

template <int64_t Remainder>
bool has_parity(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters none("test", arguments, {});
  const Value rest = binary(rt, BinaryOp::kMod, subject, Value::integer(2));
  return equal(rt.budget, rest, Value::integer(Remainder));
}

bool divisible_by(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("divisibleby", arguments, {"num"}, 1);
  return equal(rt.budget, binary(rt, BinaryOp::kMod, subject, p[0]), Value::integer(0));
}

template <CompareOp Op>
bool compares(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("test", arguments, {"other"}, 1);
  return compare(rt, Op, subject, p[0]);
}

bool same_as(Runtime&, const Value& subject, Args arguments) {
  const Parameters p("sameas", arguments, {"other"}, 1);
  if (subject.kind() != p[0].kind()) return false;
  if (subject.identity() == p[0].identity() && subject.identity() != nullptr) return true;
  switch (subject.kind()) {
    case Kind::kNone:
      return true;
    case Kind::kBool:
    case Kind::kInt:
      return subject.as_int() == p[0].as_int();
    case Kind::kString:
      return subject.text() == p[0].text();  // Python shares equal constants
    default:
      return false;
  }
}

template <bool Upper>
bool has_case(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters none("test", arguments, {});
  const Value text = rt.string(str(rt.budget, subject));
  return find_string_method(Upper ? "isupper" : "islower")->call(rt, text, arguments).as_bool();
}

bool is_filter(Runtime&, const Value& subject, Args) {
  return subject.is_string() && find_filter(subject.text()) != nullptr;
}
bool is_test(Runtime&, const Value& subject, Args) {
  return subject.is_string() && find_predicate(subject.text()) != nullptr;
}

constexpr std::array kPredicates = std::to_array<Predicate>({
    {"!=", compares<CompareOp::kNe>},
    {"<", compares<CompareOp::kLt>},
    {"<=", compares<CompareOp::kLe>},
    {"==", compares<CompareOp::kEq>},
    {">", compares<CompareOp::kGt>},
    {">=", compares<CompareOp::kGe>},
    {"boolean", simple<is_boolean>},
    {"callable", simple<is_callable>},
    {"defined", simple<is_defined>},
    {"divisibleby", divisible_by},
    {"eq", compares<CompareOp::kEq>},
    {"equalto", compares<CompareOp::kEq>},
    {"escaped", simple<is_escaped>},
    {"even", has_parity<0>},
    {"false", simple<is_false>},
    {"filter", is_filter},
    {"float", simple<is_float>},
    {"ge", compares<CompareOp::kGe>},
    {"greaterthan", compares<CompareOp::kGt>},
    {"gt", compares<CompareOp::kGt>},
    {"in", compares<CompareOp::kIn>},
    {"integer", simple<is_integer>},
    {"iterable", simple<is_any_iterable>},
    {"le", compares<CompareOp::kLe>},
    {"lessthan", compares<CompareOp::kLt>},
    {"lower", has_case<false>},
    {"lt", compares<CompareOp::kLt>},
    {"mapping", simple<is_mapping>},
    {"ne", compares<CompareOp::kNe>},
    {"none", simple<is_none>},
    {"number", simple<is_any_number>},
    {"odd", has_parity<1>},
    {"sameas", same_as},
    {"sequence", simple<is_any_sequence>},
    {"string", simple<is_text>},
    {"test", is_test},
    {"true", simple<is_true>},
    {"undefined", simple<is_undefined>},
    {"upper", has_case<true>},
});
static_assert(std::ranges::is_sorted(kPredicates, {}, &Predicate::name));

}  // namespace

const Predicate* find_predicate(std::string_view name) noexcept {
  const auto row = std::ranges::lower_bound(kPredicates, name, {}, &Predicate::name);
  return row != kPredicates.end() && row->name == name ? &*row : nullptr;
}

}  // namespace mach::jinja
