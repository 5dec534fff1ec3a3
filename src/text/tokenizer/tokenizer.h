// A Tokenizer turns text into token ids and back, as the checkpoint's tokenizer.json says: added tokens are cut out, the
// rest is normalised, split into words, and each word encoded by byte-pair merges.
// Immutable after construction. All const calls are thread-safe: what an encoding needs to work with comes from a pool
// inside, so concurrent calls do not wait for each other except to take and return it.
// Format and semantics: Hugging Face tokenizers (0.23); the ids are the same.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mach/session.h"

#include "text/tokenizer/added_tokens.h"

namespace mach {

struct EncodeOptions {
  bool add_special_tokens =
      true;  // BOS and EOS, where the file's post-processor has them. Off for rendered templates,
             // which write their own
  bool parse_special = true;  // false: text that spells a special token is ordinary text
  bool parse_added =
      true;  // false: so is text that spells any other added token ("<think>", "<tool_call>"). Both
             // off is the way to encode text that is not trusted
};

struct DecodeOptions {
  bool skip_special = true;
};

class Decoder;

class Tokenizer {
 public:
  // A tokenizer.json. Throws Error{kNotFound, kIo, kCorruptFile, kUnsupported, kTooLarge}, naming file and field.
  static Tokenizer open(const std::filesystem::path& tokenizer_json);
  // The same from memory; `name` stands for the file in errors.
  static Tokenizer parse(std::string_view json, const std::string& name);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // Throws Error{kInvalidRequest} for ill-formed UTF-8, with the byte position (replace_invalid_utf8 in base/utf8.h repairs
  // it first), and for text too costly for the file's regexes; kTooLarge from 2 GiB on.
  std::vector<TokenId> encode(std::string_view text, EncodeOptions options = {}) const;

  // Ids without a token (padding rows of the embedding) decode to nothing. See Detokenizer for token by token.
  std::string decode(std::span<const TokenId> ids, DecodeOptions options = {}) const;

  // One above the highest id. A model's logits may have more rows; those have no token and must not be sampled.
  size_t vocab_size() const noexcept;
  // Tokens are spelled as in the file: "Ġthe" for byte-level " the".
  std::optional<TokenId> token_to_id(std::string_view token) const;
  std::optional<std::string_view> id_to_token(TokenId id) const;
  // The bytes that a token adds in the middle of a text; they need not be whole characters. Empty for ids without a token.
  std::string_view token_bytes(TokenId id) const noexcept;

  // Dropped by DecodeOptions::skip_special.
  bool is_special(TokenId id) const noexcept;
  std::span<const AddedToken> added_tokens() const noexcept;

 private:
  friend class Detokenizer;
  struct Impl;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);

  // For the decoder: the spelling of a token, normalised if its added token is matched so; data() is null without a token.
  std::string_view decoder_input(TokenId id) const noexcept;
  const Decoder& decoder() const noexcept;

  std::unique_ptr<const Impl> impl_;
};

}  // namespace mach
