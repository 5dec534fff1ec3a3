// `value.name` and `value[key]`, in the order that Jinja's sandbox looks: a dot asks for attributes (methods) before
// items, brackets the other way round; what is not there is undefined, not an error.
#pragma once

#include <string_view>
#include <vector>

#include "text/jinja/runtime.h"

namespace mach::jinja {

// `name` is a string. Throw Failure only when `value` itself is undefined.
Value get_attribute(Runtime& rt, const Value& value, const Value& name);
Value get_item(Runtime& rt, const Value& value, const Value& key);
// Methods and attributes only; missing when there is none.
Value find_attribute(Runtime& rt, const Value& value, std::string_view name);

// A built-in method: `call` is null for those that the sandbox refuses because they change the value.
struct Method {
  std::string_view name;
  Value (*call)(Runtime& rt, const Value& self, const Arguments& arguments);
};
// The method of this name that a value of this type has, or null.
const Method* find_method(const Value& value, std::string_view name) noexcept;
Value call_method(Runtime& rt, const Method& method, const Value& self, const Arguments& arguments);

// Calls anything. Throws Failure when `callee` is undefined or not callable.
Value call(Runtime& rt, const Value& callee, const Arguments& arguments);

// How filters name what they look at: "a.b.0", an index, or nothing (the value itself); a list of those for sort.
class AttributePath {
 public:
  AttributePath() = default;
  explicit AttributePath(Runtime& rt, const Value& attribute);
  Value get(Runtime& rt, const Value& value, const Value& otherwise = Value::missing()) const;
  static std::vector<AttributePath> parse_list(Runtime& rt, const Value& attribute);

 private:
  std::vector<Value> parts_;
};

}  // namespace mach::jinja
