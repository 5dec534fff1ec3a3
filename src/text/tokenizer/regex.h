// A compiled regular expression in the syntax of tokenizer.json, and the memory one thread needs to run it.
// Text is valid UTF-8. A search that exceeds the match limit throws instead of running on: patterns come from files,
// texts from requests. Regex is immutable after construction and may be used from any thread; RegexScratch is single-owner.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace mach {

struct RegexMatch {
  size_t begin, end;  // bytes
};

class RegexScratch {
 public:
  RegexScratch();
  RegexScratch(const RegexScratch&) = delete;
  RegexScratch& operator=(const RegexScratch&) = delete;
  ~RegexScratch();

 private:
  friend class Regex;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class Regex {
 public:
  // `where` is the field that holds the pattern, for errors. Throws Error{kUnsupported}.
  Regex(std::string_view oniguruma_pattern, std::string where);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  // The first match that begins at or after `from`; what stands before `from` is visible to look-behind. Never allocates.
  // Throws Error{kInvalidRequest} when the text costs too much.
  std::optional<RegexMatch> search(std::string_view text, size_t from, RegexScratch& scratch) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
  std::string where_;
};

}  // namespace mach
