// One value of the XML wire format, from the text between its tags: one line end after the opening tag and one before the
// closing tag are not part of it. Text is passed on while it arrives, other types when they are complete.
// Single-owner.
#pragma once

#include <string>
#include <string_view>

#include "text/chat/argument_object.h"
#include "text/chat/tool_schemas.h"

namespace mach {

class XmlValue {
 public:
  // The key has been written. type: as declared, text if not declared.
  XmlValue(ArgumentType type, ArgumentObject& arguments) : type_(type), arguments_(arguments) {}

  void text(std::string_view piece);
  void end();
  // Whether the next byte begins a line: there, and only there, a missing closing tag is considered.
  bool at_line_start() const { return empty_ || held_line_end_; }

 private:
  void body(std::string_view piece);

  const ArgumentType type_;
  ArgumentObject& arguments_;
  bool after_tag_ = true;  // nothing has come yet
  bool empty_ = true;      // nothing but the line end after the opening tag has come
  bool held_line_end_ =
      false;  // the last byte so far is a line end; it may be the one before the closing tag
  bool streaming_ = false;
  std::string buffer_;  // text that may still turn out to be "null", or a value that is not text
};

}  // namespace mach
