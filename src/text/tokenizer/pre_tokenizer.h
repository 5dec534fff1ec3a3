// The pre-tokeniser: cuts normalised text into the pieces ("words") that the model encodes one by one.
//
// Every kind that tokenizer.json knows comes down to three steps, in the order of the file:
//   Split    cut at the matches of a regex or a literal, with one of five treatments of the match
//   Replace  every space by another character                              (Metaspace)
//   Prepend  a prefix, unless the piece begins with it                     (Metaspace, ByteLevel's add_prefix_space)
// and, at the end, whether the pieces go to the model as bytes (ByteLevel) or as characters.
// Pieces flow through the steps one at a time, depth first, so cutting needs no memory. Immutable after construction; may
// be used from any thread, each with its own Scratch.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/function_ref.h"
#include "text/tokenizer/component.h"
#include "text/tokenizer/regex.h"

namespace mach {

// What happens to the matches of a Split; the names are those of tokenizer.json.
enum class SplitBehavior : uint8_t { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

class PreTokenizer {
 public:
  using Sink = FunctionRef<void(std::string_view piece)>;

  static constexpr size_t kMaxSteps = 32;
  struct Scratch {
    RegexScratch regex;
    std::array<std::string, kMaxSteps> texts;  // of the steps that change the text
  };

  PreTokenizer() = default;
  // A null component cuts nothing.
  explicit PreTokenizer(const Component& component);

  // Pieces stand for bytes of the byte-level alphabet.
  bool byte_level() const noexcept { return byte_level_; }

  // Calls `sink` for every piece, none of them empty, in order. at_text_start: `text` begins where the whole input does
  // (Metaspace's prepend_scheme "first" asks). A piece is valid only during the call.
  void split(std::string_view text, bool at_text_start, Scratch& scratch, Sink sink) const;

 private:
  struct Split {
    std::variant<Regex, std::string> pattern;
    SplitBehavior behavior;
    bool invert;  // what does not match is the match
  };
  struct Replace {
    std::string space;  // takes the place of " "
  };
  struct Prepend {
    std::string prefix;
    bool only_at_text_start;
  };
  using Step = std::variant<Split, Replace, Prepend>;

  void add(const Component& component, int depth);
  void add_step(const Component& component, Step step);
  void add_regex(const Component& component, std::string_view regex, SplitBehavior behavior, bool invert);
  void add_byte_level(const Component& component);
  void add_metaspace(const Component& component);
  void run(size_t step, std::string_view piece, bool first, Scratch& scratch, Sink sink) const;
  void run_split(const Split& split, size_t step, std::string_view piece, bool first, Scratch& scratch,
                 Sink sink) const;

  std::vector<Step> steps_;
  bool byte_level_ = false;
};

}  // namespace mach
