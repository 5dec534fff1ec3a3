#include "text/jinja/object.h"

#include <fmt/format.h>

#include "text/jinja/failure.h"
#include "text/jinja/text_builder.h"

namespace mach::jinja {

const Value* Arguments::find(std::string_view name) const noexcept {
  for (const auto& [key, value] : named) {
    if (key == name) return &value;
  }
  return nullptr;
}

// Python adds the address, which no template can rely on.
void Object::print(TextBuilder& out, int) const { out.append(fmt::format("<{}>", described_type())); }

Value Object::at(Runtime&, size_t) const { fail(fmt::format("'{}' object is not iterable", type_name())); }
bool Object::next(Runtime&, Value&) { fail(fmt::format("'{}' object is not iterable", type_name())); }
Value Object::attribute(Runtime&, std::string_view) const { return Value::missing(); }
Value Object::call(Runtime&, const Arguments&) {
  fail(fmt::format("'{}' object is not callable", type_name()));
}

Value make_object(const Object* object) { return Value::node(Kind::kObject, object); }

}  // namespace mach::jinja
