// The decoder: turns the strings of tokens back into text, one token at a time, so that what has been handed out never
// changes and its concatenation is the decoding of the whole. The steps of tokenizer.json fall into three groups:
//   token steps   work on each token: Replace, Strip, Metaspace, ByteFallback (holds a run of byte tokens until it ends)
//   the joint     Fuse: tokens flow together; ByteLevel: they do as bytes, and ill-formed UTF-8 becomes U+FFFD;
//                 no decoder at all: tokens joined by spaces
//   text steps    Replace and Strip on the joined text; they hold back what a later token could still change
// Semantics: Hugging Face tokenizers 0.23, decoders. Immutable after construction; a State belongs to one stream.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/tokenizer/component.h"
#include "text/tokenizer/regex.h"

namespace mach {

class Decoder {
 public:
  struct State {
    struct Step {
      std::string held;
      uint64_t count = 0;   // tokens seen, byte tokens held or characters stripped
      bool closed = false;  // a leading Strip is over
    };
    std::vector<Step> tokens, texts;
    std::string bytes;  // an incomplete UTF-8 character
    uint64_t token_count = 0;
    std::unique_ptr<RegexScratch> regex;  // made when a step needs it
  };

  Decoder() = default;
  explicit Decoder(const Component& component);

  // Appends to `out` what is certain after this token.
  void push(std::string_view token, State& state, std::string& out) const;
  // Appends the rest and starts over.
  void finish(State& state, std::string& out) const;

  // Appends the bytes that a token stands for in the middle of a text, which need not be whole characters.
  struct Buffers {
    std::string text, changed;
    RegexScratch regex;
  };
  void append_token_bytes(std::string_view token, Buffers& buffers, std::string& out) const;
  // push() does nothing but put those bytes together; then push_bytes(token bytes) is the same and faster.
  bool is_concatenation_of_bytes() const noexcept { return joint_ == Joint::kBytes && token_steps_.empty(); }
  void push_bytes(std::string_view bytes, State& state, std::string& out) const;

 private:
  struct ReplaceString {
    std::string from, to;
  };
  struct ReplaceRegex {
    Regex pattern;
    std::string to;
  };
  struct Strip {
    std::string character;
    uint64_t start, stop;  // at most so many of it go from either end
  };
  struct Metaspace {
    std::string character;
    bool drop_in_first;  // in the first token it goes, elsewhere it becomes a space
  };
  struct ByteFallback {};
  using TokenStep = std::variant<ReplaceString, ReplaceRegex, Strip, Metaspace, ByteFallback>;
  using TextStep = std::variant<ReplaceString, ReplaceRegex, Strip>;
  enum class Joint : uint8_t { kSpaces, kPlain, kText, kBytes };  // kPlain: at the end, no text steps

  void add(const Component& component, int depth);
  void add_joint(const Component& component, Joint joint);
  void add_replace(const Component& component);
  void add_metaspace(const Component& component);

  void prepare(State& state) const;
  void run_token(size_t step, std::string_view token, State& state, std::string& out) const;
  void end_byte_run(size_t step, State& state, std::string& out) const;
  void join(std::string_view token, State& state, std::string& out) const;
  void run_text(size_t step, std::string_view text, State& state, std::string& out) const;
  void finish_text(size_t step, State& state, std::string& out) const;

  std::vector<TokenStep> token_steps_;
  Joint joint_ = Joint::kSpaces;
  std::vector<TextStep> text_steps_;
};

}  // namespace mach
