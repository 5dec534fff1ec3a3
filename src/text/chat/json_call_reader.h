// Reads the body of a call written as one JSON object, {"name": "f", "arguments": {...}}, and passes the arguments on
// while they arrive. Members may come in any order ("parameters" is read as "arguments"; arguments before the name wait
// for it; unknown members are passed over). Arguments may be an object, a string that holds an object, null or absent.
// Single-owner; one object per call.
#pragma once

#include <cstdint>
#include <string>

#include "text/chat/json_scanner.h"
#include "text/chat/message_writer.h"

namespace mach {

class JsonCallReader {
 public:
  enum class Status : uint8_t { kMore, kDone, kBroken };

  // kDone: this byte ended the object, and the call is finished. kBroken: it is no call; an open call stays open.
  Status feed(char c, MessageWriter& out);
  // The body ends although its object is open: kDone if name and arguments are complete nevertheless, else kBroken.
  Status end(MessageWriter& out);
  bool in_string() const { return scanner_.in_string(); }

 private:
  enum class Member : uint8_t { kNone, kName, kArguments, kOther };

  bool begin_member();
  bool value_byte(char c, JsonByte role, MessageWriter& out);
  bool end_member(MessageWriter& out);
  bool end_name(MessageWriter& out);
  bool end_arguments(MessageWriter& out);
  Status finish(MessageWriter& out);

  JsonScanner scanner_;
  Member member_ = Member::kNone;
  std::string key_;
  std::string value_;  // of the member being read, except arguments that are passed on
  bool passing_on_ = false;
  bool has_name_ = false;
  bool has_arguments_ = false;
  std::string waiting_;  // arguments that came before the name
};

}  // namespace mach
