// The normaliser of a tokenizer: what happens to the text between added tokens before it is split into words.
// A list of steps, in order; nested Sequences are flattened. Immutable after construction; may be used from any thread.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/tokenizer/component.h"
#include "text/tokenizer/regex.h"
#include "text/tokenizer/unicode_forms.h"

namespace mach {

class Normalizer {
 public:
  Normalizer() = default;
  // A null component is the empty list.
  explicit Normalizer(const Component& component);

  bool empty() const noexcept { return steps_.empty(); }

  struct Buffers {
    std::string text, next;
  };
  // Valid UTF-8 in and out. The result is `text` itself or lies in `buffers`, until their next use.
  std::string_view apply(std::string_view text, Buffers& buffers, RegexScratch& regex) const;

 private:
  struct Lowercase {};
  struct StripAccents {};  // removes every mark
  struct Strip {
    bool left, right;
  };
  struct Prepend {  // unless the text is empty
    std::string prefix;
  };
  struct ReplaceString {
    std::string from, to;
  };
  struct ReplaceRegex {
    Regex pattern;
    std::string to;
  };
  using Step =
      std::variant<UnicodeForm, Lowercase, StripAccents, Strip, Prepend, ReplaceString, ReplaceRegex>;

  void add(const Component& component, int depth);
  void add_replace(const Component& component);

  std::vector<Step> steps_;
};

// All occurrences, left to right, not overlapping. False, with `out` untouched, when there is none.
bool replace_all(std::string_view text, std::string_view from, std::string_view to, std::string& out);
bool replace_all(std::string_view text, const Regex& pattern, std::string_view to, RegexScratch& scratch,
                 std::string& out);

}  // namespace mach
