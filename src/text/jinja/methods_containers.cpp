#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <span>

#include <fmt/format.h>

#include "text/jinja/args.h"
#include "text/jinja/failure.h"
#include "text/jinja/format.h"
#include "text/jinja/methods.h"
#include "text/jinja/objects.h"
#include "text/jinja/operators.h"

namespace mach::jinja {
namespace {

template <DictView::Part Part>
Value dict_view(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters none("dict view", arguments, {});
  return make_object(new DictView(rt.budget, self, Part));
}

Value dict_get(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters p("get", arguments, {"key", "default"}, 1);
  if (!is_hashable(p[0])) fail(fmt::format("unhashable type: '{}'", type_name(p[0])));
  if (p[0].is_string()) rt.budget.step_bytes(p[0].text().size());
  if (const Value* value = self.dict().find(p[0])) return *value;
  return p.get(1, Value());
}

Value copy(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters none("copy", arguments, {});
  return self;  // nothing can tell a copy of an immutable value
}

Value sequence_count(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters p("count", arguments, {"value"}, 1);
  int64_t count = 0;
  for (const Value& item : self.items()) count += equal(rt.budget, item, p[0]) ? 1 : 0;
  return Value::integer(count);
}

Value sequence_index(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters p("index", arguments, {"value", "start", "stop"}, 1);
  const auto size = static_cast<int64_t>(self.items().size());
  const auto bound = [&](size_t i, int64_t otherwise) {
    const int64_t at = p.integer(i, otherwise);
    return std::clamp<int64_t>(at < 0 ? std::max<int64_t>(0, at + size) : at, 0, size);
  };
  for (int64_t i = bound(1, 0); i < bound(2, size); ++i) {
    if (equal(rt.budget, self.items()[static_cast<size_t>(i)], p[0])) return Value::integer(i);
  }
  fail("the value is not in the list");
}

Value range_count(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters p("count", arguments, {"value"}, 1);
  return Value::integer(contains(rt, self, p[0]) ? 1 : 0);
}

Value range_index(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters p("index", arguments, {"value"}, 1);
  for (size_t i = 0; i < self.object().size(); ++i) {
    if (equal(rt.budget, self.object().at(rt, i), p[0])) return Value::integer(static_cast<int64_t>(i));
  }
  fail("the value is not in the range");
}

Value bit_length(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters none("bit_length", arguments, {});
  return Value::integer(std::bit_width(magnitude_of(self.as_int())));
}

Value bit_count(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters none("bit_count", arguments, {});
  return Value::integer(std::popcount(magnitude_of(self.as_int())));
}

Value conjugate(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters none("conjugate", arguments, {});
  return plus(rt, self);
}

Value is_integer(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters none("is_integer", arguments, {});
  return Value::boolean(std::isfinite(self.as_float()) && self.as_float() == std::floor(self.as_float()));
}

constexpr std::array kDictMethods = std::to_array<Method>({
    {"clear", nullptr},
    {"copy", copy},
    {"get", dict_get},
    {"items", dict_view<DictView::Part::kItems>},
    {"keys", dict_view<DictView::Part::kKeys>},
    {"pop", nullptr},
    {"popitem", nullptr},
    {"setdefault", nullptr},
    {"update", nullptr},
    {"values", dict_view<DictView::Part::kValues>},
});
constexpr std::array kListMethods = std::to_array<Method>({
    {"append", nullptr},
    {"clear", nullptr},
    {"copy", copy},
    {"count", sequence_count},
    {"extend", nullptr},
    {"index", sequence_index},
    {"insert", nullptr},
    {"pop", nullptr},
    {"remove", nullptr},
    {"reverse", nullptr},
    {"sort", nullptr},
});
constexpr std::array kTupleMethods =
    std::to_array<Method>({{"count", sequence_count}, {"index", sequence_index}});
constexpr std::array kRangeMethods = std::to_array<Method>({{"count", range_count}, {"index", range_index}});
constexpr std::array kIntMethods =
    std::to_array<Method>({{"bit_count", bit_count}, {"bit_length", bit_length}, {"conjugate", conjugate}});
constexpr std::array kFloatMethods =
    std::to_array<Method>({{"conjugate", conjugate}, {"is_integer", is_integer}});

const Method* find_row(std::span<const Method> rows, std::string_view name) noexcept {
  const auto row = std::ranges::find(rows, name, &Method::name);
  return row == rows.end() ? nullptr : &*row;
}

}  // namespace

const Method* find_dict_method(std::string_view name) noexcept { return find_row(kDictMethods, name); }
const Method* find_list_method(std::string_view name) noexcept { return find_row(kListMethods, name); }
const Method* find_tuple_method(std::string_view name) noexcept { return find_row(kTupleMethods, name); }
const Method* find_range_method(std::string_view name) noexcept { return find_row(kRangeMethods, name); }
const Method* find_number_method(std::string_view name, bool is_float) noexcept {
  return is_float ? find_row(kFloatMethods, name) : find_row(kIntMethods, name);
}

}  // namespace mach::jinja
