#include "text/chat/json_call_reader.h"

#include <utility>

#include "text/chat/json_text.h"

namespace mach {

using Status = JsonCallReader::Status;

bool JsonCallReader::begin_member() {
  const auto key = json_unquoted(std::exchange(key_, {}));
  value_.clear();
  passing_on_ = false;
  member_ = key == "name"                               ? Member::kName
            : key == "arguments" || key == "parameters" ? Member::kArguments
                                                        : Member::kOther;
  return !(member_ == Member::kName && has_name_) && !(member_ == Member::kArguments && has_arguments_);
}

bool JsonCallReader::value_byte(char c, JsonByte role, MessageWriter& out) {
  if (member_ == Member::kOther) return true;
  if (member_ == Member::kArguments && value_.empty() && !passing_on_) {
    if (c != '{' && c != '"' && c != 'n') return false;
    passing_on_ = c == '{' && has_name_;
  }
  if (!passing_on_) {
    append_json_byte(value_, c, role);
    return true;
  }
  std::string byte;
  append_json_byte(byte, c, role);
  out.arguments(byte);
  return true;
}

bool JsonCallReader::end_name(MessageWriter& out) {
  const auto name = json_unquoted(value_);
  if (!name || name->empty()) return false;
  has_name_ = true;
  out.start_call(*name);
  out.arguments(std::exchange(waiting_, {}));
  return true;
}

bool JsonCallReader::end_arguments(MessageWriter& out) {
  has_arguments_ = true;
  if (passing_on_) return true;
  std::string object = std::exchange(value_, {});
  if (object.starts_with('"')) {
    auto inner = json_unquoted(object);
    if (!inner) return false;
    object = trimmed(*inner).empty() ? "{}" : *std::move(inner);
  } else if (object == "null") {
    object = "{}";
  }
  if (json_kind(object) != JsonKind::kObject) return false;
  if (has_name_) {
    out.arguments(object);
  } else {
    waiting_ = std::move(object);
  }
  return true;
}

bool JsonCallReader::end_member(MessageWriter& out) {
  switch (std::exchange(member_, Member::kNone)) {
    case Member::kName:
      return end_name(out);
    case Member::kArguments:
      return end_arguments(out);
    case Member::kOther:
    case Member::kNone:
      break;
  }
  return true;
}

Status JsonCallReader::finish(MessageWriter& out) {
  if (!has_name_) return Status::kBroken;
  if (!has_arguments_) out.arguments("{}");
  out.finish_call();
  return Status::kDone;
}

Status JsonCallReader::feed(char c, MessageWriter& out) {
  const size_t depth = scanner_.depth();
  const JsonByte role = scanner_.feed(c);
  bool ok = role != JsonByte::kInvalid;
  if (ok && depth == 0) {
    ok = role == JsonByte::kSpace || c == '{';
  } else if (ok && depth == 1) {
    switch (role) {
      case JsonByte::kKey:
        append_json_byte(key_, c, role);
        break;
      case JsonByte::kColon:
        ok = begin_member();
        break;
      case JsonByte::kComma:
        ok = end_member(out);
        break;
      case JsonByte::kClose:
        return end_member(out) ? finish(out) : Status::kBroken;
      case JsonByte::kOpen:
      case JsonByte::kScalar:
        ok = value_byte(c, role, out);
        break;
      case JsonByte::kSpace:
      case JsonByte::kInvalid:
        break;
    }
  } else if (ok) {
    ok = value_byte(c, role, out);
  }
  return ok ? Status::kMore : Status::kBroken;
}

Status JsonCallReader::end(MessageWriter& out) {
  if (scanner_.depth() != 1 || in_string() || !end_member(out)) return Status::kBroken;
  return has_arguments_ ? finish(out) : Status::kBroken;
}

}  // namespace mach
