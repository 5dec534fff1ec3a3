#include "text/jinja/lookup.h"

#include <charconv>

#include <fmt/format.h>

#include "text/jinja/failure.h"
#include "text/jinja/methods.h"
#include "text/jinja/objects.h"
#include "text/jinja/operators.h"
#include "text/jinja/unicode.h"

namespace mach::jinja {
namespace {

bool is_internal(std::string_view name) {
  return name.size() > 4 && name.starts_with("__") && name.ends_with("__");
}

Value unsafe_attribute(Runtime& rt, const Value& value, std::string_view name) {
  return rt.undefined(
      fmt::format("access to attribute '{}' of '{}' object is unsafe.", name, type_name(value)));
}

// Python's index into a sequence; negative counts from the end. False when out of range.
bool resolve_index(int64_t index, size_t size, size_t& at) {
  const auto length = static_cast<int64_t>(size);
  if (index < 0) index += length;
  if (index < 0 || index >= length) return false;
  at = static_cast<size_t>(index);
  return true;
}

// value[key] without the fallback to attributes; missing when Python raises.
Value plain_item(Runtime& rt, const Value& value, const Value& key) {
  size_t at = 0;
  switch (value.kind()) {
    case Kind::kDict: {
      if (key.is_string()) rt.budget.step_bytes(key.text().size());
      const Value* found = value.dict().find(key);
      return found != nullptr ? *found : Value::missing();
    }
    case Kind::kList:
    case Kind::kTuple:
      if (!key.is_integral() || !resolve_index(key.as_int(), value.items().size(), at))
        return Value::missing();
      return value.items()[at];
    case Kind::kString: {
      if (!key.is_integral() || !resolve_index(key.as_int(), value.string().length(), at))
        return Value::missing();
      const std::string_view text = value.text();
      if (value.string().ascii()) return rt.string(std::string(1, text[at]), value.string().safe());
      rt.budget.step_bytes(text.size());
      const size_t start = byte_offset(text, at);
      size_t end = start;
      next_code_point(text, end);
      return rt.string(std::string(text.substr(start, end - start)), value.string().safe());
    }
    case Kind::kObject: {
      const Object& object = value.object();
      if (!object.indexable() || !key.is_integral()) return Value::missing();
      return resolve_index(key.as_int(), object.size(), at) ? object.at(rt, at) : Value::missing();
    }
    default:
      return Value::missing();
  }
}

}  // namespace

const Method* find_method(const Value& value, std::string_view name) noexcept {
  switch (value.kind()) {
    case Kind::kString:
      return find_string_method(name);
    case Kind::kList:
      return find_list_method(name);
    case Kind::kTuple:
      return find_tuple_method(name);
    case Kind::kDict:
      return find_dict_method(name);
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
      return find_number_method(name, value.is(Kind::kFloat));
    case Kind::kObject:
      return value.object().indexable() ? find_range_method(name) : nullptr;
    default:
      return nullptr;
  }
}

Value call_method(Runtime& rt, const Method& method, const Value& self, const Arguments& arguments) {
  if (method.call == nullptr) {
    fail(fmt::format("access to attribute '{}' of '{}' object is unsafe.", method.name, type_name(self)));
  }
  return method.call(rt, self, arguments);
}

Value find_attribute(Runtime& rt, const Value& value, std::string_view name) {
  if (const Method* method = find_method(value, name)) {
    if (method->call == nullptr) return unsafe_attribute(rt, value, name);
    return make_object(new BoundMethod(rt.budget, value, *method));
  }
  if (is_internal(name)) return unsafe_attribute(rt, value, name);
  switch (value.kind()) {
    case Kind::kObject:
      return value.object().attribute(rt, name);
    case Kind::kTuple:
      if (static_cast<const ListNode*>(value.identity())->group()) {
        if (name == "grouper") return value.items()[0];
        if (name == "list") return value.items()[1];
      }
      return Value::missing();
    case Kind::kBool:
    case Kind::kInt:
      if (name == "real" || name == "numerator") return plus(rt, value);
      if (name == "imag") return Value::integer(0);
      if (name == "denominator") return Value::integer(1);
      return Value::missing();
    case Kind::kFloat:
      if (name == "real") return value;
      if (name == "imag") return Value::number(0);
      return Value::missing();
    default:
      return Value::missing();
  }
}

Value get_attribute(Runtime& rt, const Value& value, const Value& name) {
  if (value.is_undefined()) fail_undefined(value);
  Value found = find_attribute(rt, value, name.text());
  if (found.is_missing()) found = plain_item(rt, value, name);
  return found.is_missing() ? rt.undefined_member(value, name) : found;
}

Value get_item(Runtime& rt, const Value& value, const Value& key) {
  if (value.is_undefined()) fail_undefined(value);
  Value found = plain_item(rt, value, key);
  if (found.is_missing() && key.is_string()) found = find_attribute(rt, value, key.text());
  return found.is_missing() ? rt.undefined_member(value, key) : found;
}

Value call(Runtime& rt, const Value& callee, const Arguments& arguments) {
  if (callee.is_undefined()) fail_undefined(callee);
  if (!callee.is(Kind::kObject) || !callee.object().callable()) {
    fail(fmt::format("'{}' object is not callable", type_name(callee)));
  }
  return callee.object().call(rt, arguments);
}

AttributePath::AttributePath(Runtime& rt, const Value& attribute) {
  if (attribute.is_none()) return;
  if (!attribute.is_string()) {
    parts_.push_back(attribute);
    return;
  }
  std::string_view rest = attribute.text();
  while (true) {
    const size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    int64_t index = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool digits =
        !part.empty() && part.front() != '-' && error == std::errc() && end == part.data() + part.size();
    parts_.push_back(digits ? Value::integer(index) : rt.string(std::string(part)));
    if (dot == std::string_view::npos) return;
    rest.remove_prefix(dot + 1);
  }
}

Value AttributePath::get(Runtime& rt, const Value& value, const Value& otherwise) const {
  Value item = value;
  for (const Value& part : parts_) {
    item = get_item(rt, item, part);
    if (item.is_undefined() && !otherwise.is_missing() && !otherwise.is_none()) item = otherwise;
  }
  return item;
}

std::vector<AttributePath> AttributePath::parse_list(Runtime& rt, const Value& attribute) {
  std::vector<AttributePath> paths;
  if (!attribute.is_string()) {
    paths.emplace_back(rt, attribute);
    return paths;
  }
  std::string_view rest = attribute.text();
  while (true) {
    const size_t comma = rest.find(',');
    paths.emplace_back(rt, rt.string(std::string(rest.substr(0, comma))));
    if (comma == std::string_view::npos) return paths;
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace mach::jinja
