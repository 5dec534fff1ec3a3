#include "text/chat/argument_object.h"

#include "text/chat/json_text.h"

namespace mach {

void ArgumentObject::open() {
  names_.clear();
  out_.arguments("{");
}

void ArgumentObject::key(std::string_view name) {
  if (!names_.empty()) out_.arguments(", ");
  names_.emplace(name);
  out_.arguments(json_quoted(name) + ": ");
}

void ArgumentObject::value(std::string_view json) { out_.arguments(json); }

void ArgumentObject::text(std::string_view piece) {
  std::string escaped;
  append_json_escaped(escaped, piece);
  out_.arguments(escaped);
}

}  // namespace mach
