// A strict reader for the JSON of a safetensors header: the few kinds of token it consists of, each read by name, so that
// there is no recursion and no generic value. Stricter than JSON libraries on purpose: integers are plain decimal digits,
// escapes decode to well-formed UTF-8 only. The bytes must be valid UTF-8 (checked by the caller, once for all).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mach {

class HeaderJson {
 public:
  // `what` names the file in errors; both outlive the reader. Positions in errors count from the start of the text.
  HeaderJson(std::string_view text, std::string_view what) noexcept : text_(text), what_(what) {}

  // The next character after white space; '\0' at the end.
  char peek() noexcept;
  // True, and past it, if that character is `c`.
  bool accept(char c) noexcept;
  // `c` must come; `context` says where ("after a tensor").
  void expect(char c, std::string_view context);
  bool accept_null() noexcept;

  // A string, at most max_bytes long once decoded. The result lives until the next string is read.
  std::string_view string(size_t max_bytes, std::string_view context);
  uint64_t integer(std::string_view context);

  // Until leave(), errors say that they are about this tensor. The name must stay where it is.
  void enter(std::string_view tensor) noexcept { tensor_ = tensor; }
  void leave() noexcept { tensor_ = {}; }

  // Nothing but white space may follow.
  void expect_end();

  size_t position() const noexcept { return position_; }
  [[noreturn]] void fail(std::string_view problem) const;

 private:
  void skip_space() noexcept;
  void decode_escape(std::string_view context);
  uint32_t hex4(std::string_view context);

  std::string_view text_;
  std::string_view what_;
  std::string_view tensor_;
  size_t position_ = 0;
  std::string decoded_;
};

}  // namespace mach
