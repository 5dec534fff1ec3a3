// Writes the arguments of an open call member by member, for wire formats that name each value by tags.
// Single-owner; used by one parser for one call after the other.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "text/chat/message_writer.h"

namespace mach {

class ArgumentObject {
 public:
  explicit ArgumentObject(MessageWriter& out) : out_(out) {}

  void open();                        // "{"
  void key(std::string_view name);    // then value(), or begin_text() text()* end_text()
  void value(std::string_view json);  // valid JSON
  void begin_text() { out_.arguments("\""); }
  void text(std::string_view piece);
  void end_text() { out_.arguments("\""); }
  void close() { out_.arguments("}"); }
  bool has(std::string_view name) const { return names_.contains(name); }  // since open()

 private:
  MessageWriter& out_;
  std::set<std::string, std::less<>> names_;
};

}  // namespace mach
