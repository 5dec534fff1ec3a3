#include "text/jinja/operators.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "base/utf8.h"
#include "text/jinja/cursor.h"
#include "text/jinja/failure.h"
#include "text/jinja/format.h"
#include "text/jinja/markup.h"
#include "text/jinja/objects.h"
#include "text/jinja/unicode.h"

namespace mach::jinja {
namespace {

constexpr std::array<std::string_view, 7> kBinaryNames = {"+", "-", "*", "/", "//", "%", "** or pow()"};

[[noreturn]] void fail_overflow() { fail("the result is beyond 64-bit integers"); }

[[noreturn]] void fail_operands(std::string_view op, const Value& a, const Value& b) {
  if (a.is(Kind::kBigInt) || b.is(Kind::kBigInt))
    fail("arithmetic on integers beyond 64 bits is not supported");
  fail(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", op, type_name(a), type_name(b)));
}

int64_t power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (true) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) fail_overflow();
    exponent >>= 1;
    if (exponent == 0) return result;
    if (__builtin_mul_overflow(base, base, &base)) fail_overflow();
  }
}

Value integer_binary(BinaryOp op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case BinaryOp::kAdd:
      if (__builtin_add_overflow(a, b, &result)) fail_overflow();
      return Value::integer(result);
    case BinaryOp::kSub:
      if (__builtin_sub_overflow(a, b, &result)) fail_overflow();
      return Value::integer(result);
    case BinaryOp::kMul:
      if (__builtin_mul_overflow(a, b, &result)) fail_overflow();
      return Value::integer(result);
    case BinaryOp::kDiv:
      if (b == 0) fail("division by zero");
      return Value::number(static_cast<double>(a) / static_cast<double>(b));
    case BinaryOp::kFloorDiv:
      if (b == 0) fail("integer division or modulo by zero");
      if (b == -1) return integer_binary(BinaryOp::kSub, 0, a);
      return Value::integer(a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0));
    case BinaryOp::kMod:
      if (b == 0) fail("integer modulo by zero");
      if (b == -1) return Value::integer(0);
      result = a % b;
      return Value::integer(result != 0 && (result < 0) != (b < 0) ? result + b : result);
    case BinaryOp::kPow:
      if (b >= 0) return Value::integer(power(a, b));
      if (a == 0) fail("0.0 cannot be raised to a negative power");
      return Value::number(std::pow(static_cast<double>(a), static_cast<double>(b)));
  }
  return {};
}

// Python's divmod for floats: the remainder has the sign of the divisor.
struct DivMod {
  double quotient, remainder;
};
DivMod float_divmod(double a, double b) {
  double mod = std::fmod(a, b);
  double div = (a - mod) / b;
  if (mod != 0) {
    if ((b < 0) != (mod < 0)) {
      mod += b;
      div -= 1.0;
    }
  } else {
    mod = std::copysign(0.0, b);
  }
  double floor_div = 0;
  if (div != 0) {
    floor_div = std::floor(div);
    if (div - floor_div > 0.5) floor_div += 1.0;
  } else {
    floor_div = std::copysign(0.0, a / b);
  }
  return {floor_div, mod};
}

Value float_binary(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kAdd:
      return Value::number(a + b);
    case BinaryOp::kSub:
      return Value::number(a - b);
    case BinaryOp::kMul:
      return Value::number(a * b);
    case BinaryOp::kDiv:
      if (b == 0) fail("float division by zero");
      return Value::number(a / b);
    case BinaryOp::kFloorDiv:
      if (b == 0) fail("float floor division by zero");
      return Value::number(float_divmod(a, b).quotient);
    case BinaryOp::kMod:
      if (b == 0) fail("float modulo");
      return Value::number(float_divmod(a, b).remainder);
    case BinaryOp::kPow: {
      if (a == 0 && b < 0) fail("0.0 cannot be raised to a negative power");
      const double result = std::pow(a, b);
      if (std::isnan(result) && !std::isnan(a) && !std::isnan(b)) fail("complex numbers are not supported");
      if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) fail("float power: result too large");
      return Value::number(result);
    }
  }
  return {};
}

Value repeat(Runtime& rt, const Value& value, int64_t count) {
  const size_t times = count < 0 ? 0 : static_cast<size_t>(count);
  if (value.is_string()) {
    TextBuilder out(rt.budget);
    out.append_repeated(times, value.text());
    return rt.string(out.take(), value.string().safe());
  }
  ListBuilder items(rt.budget);
  if (!value.items().empty()) {
    for (size_t i = 0; i < times; ++i) {
      rt.budget.step(value.items().size());
      for (const Value& item : value.items()) items.push(item);
    }
  }
  return value.is(Kind::kList) ? rt.list(items.take()) : rt.tuple(items.take());
}

Value concatenate(Runtime& rt, const Value& a, const Value& b) {
  if (a.is_string()) {
    TextBuilder out(rt.budget);
    const bool safe = a.string().safe() || b.string().safe();
    append_markup(out, a, safe);
    append_markup(out, b, safe);
    return rt.string(out.take(), safe);
  }
  rt.budget.step((a.items().size() + b.items().size()) / 4);
  std::vector<Value> items;
  items.reserve(a.items().size() + b.items().size());
  items.insert(items.end(), a.items().begin(), a.items().end());
  items.insert(items.end(), b.items().begin(), b.items().end());
  return a.is(Kind::kList) ? rt.list(std::move(items)) : rt.tuple(std::move(items));
}

bool repeatable(const Value& v) { return v.is_string() || v.is_sequence(); }

bool less_sequences(Budget& budget, const Value& a, const Value& b) {
  const auto& x = a.items();
  const auto& y = b.items();
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    if (!equal(budget, x[i], y[i])) return less(budget, x[i], y[i]);
  }
  return x.size() < y.size();
}

bool equal_items(Budget& budget, const std::vector<Value>& a, const std::vector<Value>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!equal(budget, a[i], b[i])) return false;
  }
  return true;
}

bool equal_dicts(Budget& budget, const DictNode& a, const DictNode& b) {
  if (a.items().size() != b.items().size()) return false;
  for (const auto& [key, value] : a.items()) {
    budget.step();
    const Value* other = b.find(key);
    if (other == nullptr || !equal(budget, value, *other)) return false;
  }
  return true;
}

std::string_view symbol_of(CompareOp op) {
  switch (op) {
    case CompareOp::kLt:
      return "<";
    case CompareOp::kLe:
      return "<=";
    case CompareOp::kGt:
      return ">";
    default:
      return ">=";
  }
}

// Raises for pairs that Python cannot order; `op` is only for the message.
void check_ordered(const Value& a, const Value& b, CompareOp op) {
  if (a.is_undefined()) fail_undefined(a);
  if (b.is_undefined()) fail_undefined(b);
  if ((a.is_number() && b.is_number()) || (a.is_string() && b.is_string())) return;
  if (a.kind() == b.kind() && a.is_sequence()) return;
  fail(fmt::format("'{}' not supported between instances of '{}' and '{}'", symbol_of(op), type_name(a),
                   type_name(b)));
}

bool is_nan(const Value& v) { return v.is(Kind::kFloat) && std::isnan(v.as_float()); }

// One end of a slice: None, or an integer.
struct Bound {
  bool given;
  int64_t value;
};
Bound slice_bound(const Value& v) {
  if (v.is_none()) return {false, 0};
  if (!v.is_integral()) fail("slice indices must be integers or None or have an __index__ method");
  return {true, v.as_int()};
}

struct SliceRange {
  int64_t start, stop, step;
  size_t count;
};

// Python's slice.indices().
SliceRange slice_indices(int64_t length, Bound start, Bound stop, Bound step_in) {
  const int64_t step = step_in.given ? step_in.value : 1;
  if (step == 0) fail("slice step cannot be zero");
  const int64_t lower = step < 0 ? -1 : 0;
  const int64_t upper = step < 0 ? length - 1 : length;
  const auto clamp = [&](Bound bound, int64_t otherwise) {
    if (!bound.given) return otherwise;
    const int64_t at = bound.value < 0 ? (bound.value < -length ? lower : bound.value + length) : bound.value;
    return std::clamp(at, lower, upper);
  };
  const int64_t first = clamp(start, step < 0 ? upper : lower);
  const int64_t last = clamp(stop, step < 0 ? lower : upper);
  const int64_t span = step < 0 ? first - last : last - first;
  if (span <= 0) return {first, last, step, 0};
  const auto stride = step < 0 ? uint64_t{0} - static_cast<uint64_t>(step) : static_cast<uint64_t>(step);
  return {first, last, step, static_cast<size_t>((static_cast<uint64_t>(span) - 1) / stride + 1)};
}

Value slice_text(Runtime& rt, const Value& value, const SliceRange& range) {
  const std::string_view text = value.text();
  const bool safe = value.string().safe();
  rt.budget.step_bytes(text.size());
  if (range.count == 0) return rt.string({}, safe);
  const auto start = static_cast<size_t>(range.start);
  if (range.step == 1) {
    const size_t begin = value.string().ascii() ? start : byte_offset(text, start);
    const size_t size = value.string().ascii() ? range.count : byte_offset(text.substr(begin), range.count);
    return rt.string(std::string(text.substr(begin, size)), safe);
  }
  TextBuilder out(rt.budget);
  if (value.string().ascii()) {
    for (size_t i = 0; i < range.count; ++i) {
      out.append(1, text[static_cast<size_t>(range.start + static_cast<int64_t>(i) * range.step)]);
    }
    return rt.string(out.take(), safe);
  }
  rt.budget.allocate(text.size() * sizeof(char32_t));
  const std::u32string wide = to_utf32(text);
  rt.budget.release(text.size() * sizeof(char32_t));
  std::string piece;
  for (size_t i = 0; i < range.count; ++i) {
    piece.clear();
    append_utf8(piece, wide[static_cast<size_t>(range.start + static_cast<int64_t>(i) * range.step)]);
    out.append(piece);
  }
  return rt.string(out.take(), safe);
}

}  // namespace

void fail_undefined(const Value& undefined) { fail(undefined.undefined().message()); }

bool truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kNone:
    case Kind::kUndefined:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.as_int() != 0;
    case Kind::kFloat:
      return value.as_float() != 0;
    case Kind::kBigInt:
      return true;
    case Kind::kString:
      return !value.text().empty();
    case Kind::kList:
    case Kind::kTuple:
      return !value.items().empty();
    case Kind::kDict:
      return !value.dict().items().empty();
    case Kind::kObject:
      return value.object().truthy();
  }
  return false;
}

bool equal(Budget& budget, const Value& a, const Value& b) {
  budget.step();
  if (a.is_number() && b.is_number()) return !is_nan(a) && !is_nan(b) && compare_keys(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kString:
    case Kind::kBigInt:
      if (a.text().size() == b.text().size()) budget.step_bytes(a.text().size());
      return a.text() == b.text();
    case Kind::kList:
    case Kind::kTuple:
      return a.identity() == b.identity() || equal_items(budget, a.items(), b.items());
    case Kind::kDict:
      return a.identity() == b.identity() || equal_dicts(budget, a.dict(), b.dict());
    case Kind::kObject:
      return a.identity() == b.identity() || a.object().equals(b.object());
    default:
      return true;  // None, undefined
  }
}

bool less(Budget& budget, const Value& a, const Value& b) {
  budget.step();
  check_ordered(a, b, CompareOp::kLt);
  if (a.is_number()) return !is_nan(a) && !is_nan(b) && compare_keys(a, b) < 0;
  if (!a.is_string()) return less_sequences(budget, a, b);
  budget.step_bytes(std::min(a.text().size(), b.text().size()));
  return a.text() < b.text();  // the order of UTF-8 bytes is that of code points
}

bool contains(Runtime& rt, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kString: {
      if (!item.is_string()) {
        fail(fmt::format("'in <string>' requires string as left operand, not {}", type_name(item)));
      }
      const std::string_view hay = container.text();
      const std::string_view needle = item.text();
      rt.budget.step_bytes(hay.size());
      return needle.empty() || memmem(hay.data(), hay.size(), needle.data(), needle.size()) != nullptr;
    }
    case Kind::kDict:
      if (!is_hashable(item)) fail(fmt::format("unhashable type: '{}'", type_name(item)));
      return container.dict().find(item) != nullptr;
    default:
      break;
  }
  if (const auto* view = object_as<DictView>(container); view != nullptr && view->shows_keys()) {
    return contains(rt, view->dict(), item);
  }
  if (const auto* range = object_as<RangeObject>(container); range != nullptr && item.is_integral()) {
    return range->contains(item.as_int());
  }
  if (!is_iterable(container))
    fail(fmt::format("argument of type '{}' is not iterable", type_name(container)));
  Cursor cursor(container);
  Value candidate;
  while (cursor.next(rt, candidate)) {
    const bool same = candidate.identity() != nullptr && candidate.identity() == item.identity();
    if (same || equal(rt.budget, candidate, item)) return true;
  }
  return false;
}

bool compare(Runtime& rt, CompareOp op, const Value& a, const Value& b) {
  switch (op) {
    case CompareOp::kEq:
      return equal(rt.budget, a, b);
    case CompareOp::kNe:
      return !equal(rt.budget, a, b);
    case CompareOp::kIn:
      return contains(rt, b, a);
    case CompareOp::kNotIn:
      return !contains(rt, b, a);
    default:
      break;
  }
  check_ordered(a, b, op);
  if (is_nan(a) || is_nan(b)) return false;
  switch (op) {
    case CompareOp::kLt:
      return less(rt.budget, a, b);
    case CompareOp::kGt:
      return less(rt.budget, b, a);
    case CompareOp::kLe:
      return less(rt.budget, a, b) || equal(rt.budget, a, b);
    default:
      return less(rt.budget, b, a) || equal(rt.budget, a, b);
  }
}

Value binary(Runtime& rt, BinaryOp op, const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return integer_binary(op, a.as_int(), b.as_int());
  if (a.is_number() && b.is_number()) return float_binary(op, a.as_float(), b.as_float());
  if (op == BinaryOp::kMod && a.is_string()) return format_percent(rt, a, b);
  if (a.is_undefined()) fail_undefined(a);
  if (b.is_undefined()) fail_undefined(b);
  if (op == BinaryOp::kAdd) {
    if (a.kind() == b.kind() && (a.is_string() || a.is_sequence())) return concatenate(rt, a, b);
    if (a.is_string() || a.is_sequence()) {
      fail(fmt::format("can only concatenate {0} (not \"{1}\") to {0}", type_name(a), type_name(b)));
    }
  }
  if (op == BinaryOp::kMul) {
    if (repeatable(a) && b.is_integral()) return repeat(rt, a, b.as_int());
    if (repeatable(b) && a.is_integral()) return repeat(rt, b, a.as_int());
    if (repeatable(a)) fail(fmt::format("can't multiply sequence by non-int of type '{}'", type_name(b)));
  }
  fail_operands(kBinaryNames[static_cast<size_t>(op)], a, b);
}

Value negate(Runtime& rt, const Value& value) {
  if (value.is_integral()) return integer_binary(BinaryOp::kSub, 0, value.as_int());
  if (value.is(Kind::kFloat)) return Value::number(-value.as_float());
  if (value.is(Kind::kBigInt)) {
    const std::string_view digits = value.text();
    if (digits == "9223372036854775808") return Value::integer(INT64_MIN);
    if (digits.front() == '-') return make_big_int(&rt.budget, std::string(digits.substr(1)));
    return make_big_int(&rt.budget, "-" + std::string(digits));
  }
  if (value.is_undefined()) fail_undefined(value);
  fail(fmt::format("bad operand type for unary -: '{}'", type_name(value)));
}

Value plus(Runtime&, const Value& value) {
  if (value.is_integral()) return Value::integer(value.as_int());
  if (value.is(Kind::kFloat) || value.is(Kind::kBigInt)) return value;
  if (value.is_undefined()) fail_undefined(value);
  fail(fmt::format("bad operand type for unary +: '{}'", type_name(value)));
}

int64_t length_of(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return static_cast<int64_t>(value.string().length());
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<int64_t>(value.items().size());
    case Kind::kDict:
      return static_cast<int64_t>(value.dict().items().size());
    case Kind::kObject:
      if (value.object().iteration() == Object::Iteration::kSized)
        return static_cast<int64_t>(value.object().size());
      break;
    default:
      break;
  }
  fail(fmt::format("object of type '{}' has no len()", type_name(value)));
}

Value slice(Runtime& rt, const Value& value, const Value& start, const Value& stop, const Value& step) {
  const auto range_for = [&](size_t length) {
    return slice_indices(static_cast<int64_t>(length), slice_bound(start), slice_bound(stop),
                         slice_bound(step));
  };
  switch (value.kind()) {
    case Kind::kUndefined:
      fail_undefined(value);
    case Kind::kString:
      return slice_text(rt, value, range_for(value.string().length()));
    case Kind::kList:
    case Kind::kTuple: {
      const auto range = range_for(value.items().size());
      rt.budget.step(range.count / 4);
      std::vector<Value> items;
      items.reserve(range.count);
      for (size_t i = 0; i < range.count; ++i) {
        items.push_back(
            value.items()[static_cast<size_t>(range.start + static_cast<int64_t>(i) * range.step)]);
      }
      return value.is(Kind::kList) ? rt.list(std::move(items)) : rt.tuple(std::move(items));
    }
    case Kind::kDict:
      fail("unhashable type: 'slice'");
    case Kind::kObject:
      if (const auto* range = object_as<RangeObject>(value)) {
        const auto part = range_for(range->size());
        return range->slice(rt, part.start, part.stop, part.step, part.count);
      }
      break;
    default:
      break;
  }
  fail(fmt::format("'{}' object is not subscriptable", type_name(value)));
}

}  // namespace mach::jinja
