#include <array>
#include <cmath>
#include <cstdlib>

#include <fmt/format.h>

#include "text/jinja/args.h"
#include "text/jinja/failure.h"
#include "text/jinja/filters.h"
#include "text/jinja/format.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_search.h"

namespace mach::jinja {
namespace {

using Args = const Arguments&;

Value absolute(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters none("abs", arguments, {});
  if (subject.is(Kind::kFloat)) return Value::number(std::fabs(subject.as_float()));
  if (subject.is_integral()) return subject.as_int() < 0 ? negate(rt, subject) : plus(rt, subject);
  if (subject.is(Kind::kBigInt)) return subject.text().front() == '-' ? negate(rt, subject) : subject;
  if (subject.is_undefined()) fail_undefined(subject);
  fail(fmt::format("bad operand type for abs(): '{}'", type_name(subject)));
}

// int(value) of a finite float.
Value truncated(Runtime& rt, double value) {
  const double whole = std::trunc(value);
  if (whole >= -0x1p63 && whole < 0x1p63) return Value::integer(static_cast<int64_t>(whole));
  return make_big_int(&rt.budget, fmt::format("{:.0f}", whole));
}

Value to_int(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("int", arguments, {"default", "base"});
  if (subject.is_undefined()) fail_undefined(subject);
  if (subject.is_integral()) return plus(rt, subject);
  if (subject.is(Kind::kBigInt)) return subject;
  std::optional<double> number;
  if (subject.is(Kind::kFloat)) {
    number = subject.as_float();
  } else if (subject.is_string()) {
    rt.budget.step_bytes(4 * subject.text().size());
    if (auto parsed = parse_integer(rt.budget, subject.text(), p.integer(1, 10))) return *parsed;
    number = parse_float(subject.text());
  }
  if (number && std::isfinite(*number)) return truncated(rt, *number);
  return p.get(0, Value::integer(0));
}

Value to_float(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("float", arguments, {"default"});
  if (subject.is_undefined()) fail_undefined(subject);
  if (subject.is_number()) return Value::number(subject.as_float());
  if (subject.is_string() || subject.is(Kind::kBigInt)) {
    rt.budget.step_bytes(4 * subject.text().size());
    if (const auto parsed = parse_float(subject.text())) return Value::number(*parsed);
  }
  return p.get(0, Value::number(0));
}

// round(value, digits): exact decimal rounding, halves to the even digit.
double rounded(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 323) return value;
  if (digits < -308) return std::copysign(0.0, value);
  if (digits >= 0) {
    const std::string text = float_digits(std::fabs(value), 'f', static_cast<size_t>(digits), false);
    return std::copysign(std::strtod(text.c_str(), nullptr), value);
  }
  const double unit = std::pow(10.0, static_cast<double>(-digits));
  const double scaled = value / unit;
  double whole = std::round(scaled);
  if (std::fabs(scaled - whole) == 0.5) whole = 2.0 * std::round(scaled / 2.0);
  return whole * unit;
}

Value rounded_integer(int64_t value, int64_t digits) {
  if (digits >= 0) return Value::integer(value);
  if (digits < -18) return Value::integer(0);
  int64_t unit = 1;
  for (int64_t i = 0; i < -digits; ++i) unit *= 10;
  const int64_t rest = ((value % unit) + unit) % unit;
  int64_t down = 0;
  int64_t result = 0;
  const bool up_ok = !__builtin_sub_overflow(value, rest, &down);
  const bool up = rest > unit / 2 || (rest == unit / 2 && (down / unit) % 2 != 0);
  if (!up_ok || __builtin_add_overflow(down, up ? unit : 0, &result))
    fail("the result is beyond 64-bit integers");
  return Value::integer(result);
}

Value round_to(Runtime&, const Value& subject, Args arguments) {
  const Parameters p("round", arguments, {"precision", "method"});
  if (subject.is_undefined()) fail_undefined(subject);
  const int64_t digits = p.integer(0, 0);
  const std::string_view method = p.text(1, "common");
  if (method != "common" && method != "ceil" && method != "floor")
    fail("method must be common, ceil or floor");
  if (!subject.is_number()) fail(fmt::format("type {} doesn't define __round__ method", type_name(subject)));
  if (method == "common") {
    if (subject.is_integral()) return rounded_integer(subject.as_int(), digits);
    return Value::number(rounded(subject.as_float(), digits));
  }
  const double unit = std::pow(10.0, static_cast<double>(digits));
  const double scaled = subject.as_float() * unit;
  if (!std::isfinite(scaled) || unit == 0) fail("cannot round this number");
  return Value::number((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit);
}

constexpr std::array kFilters = std::to_array<Filter>({
    {"int", to_int},
    {"float", to_float},
    {"abs", absolute},
    {"round", round_to},
});

}  // namespace

std::span<const Filter> number_filters() noexcept { return kFilters; }

}  // namespace mach::jinja
