// Added tokens: strings that are cut out of the text before anything else sees it, each with an id of its own. At every
// position the longest one wins; a match never overlaps the previous match.
// Semantics: Hugging Face tokenizers 0.23. A match that is then refused (a neighbour of a single_word token is a word
// character, or the token may not be recognised in this call) still ends the search within its own text.
// Immutable after construction; may be used from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mach/session.h"

#include "base/function_ref.h"

namespace mach {

struct AddedToken {
  TokenId id = -1;
  std::string content;
  bool single_word = false;  // only between non-word characters
  bool lstrip = false;       // swallows white space before it
  bool rstrip = false;       // and after it
  bool normalized = false;   // matched in the normalised text
  bool special = false;      // dropped by decoders that skip special tokens
};

// Which added tokens an encoding recognises. The rest of them is ordinary text.
enum class AddedTokenFilter : uint8_t { kAll, kSpecial, kNotSpecial, kNone };

class AddedTokenMatcher {
 public:
  struct Pattern {
    std::string text;  // not empty
    const AddedToken* token;
  };
  AddedTokenMatcher() = default;
  // The tokens must outlive the matcher. Of patterns with the same text the last one counts.
  explicit AddedTokenMatcher(std::vector<Pattern> patterns);

  bool empty() const noexcept { return nodes_.empty(); }

  // Calls on_text for every stretch between tokens (never empty) and on_token for every token, in order.
  void split(std::string_view text, AddedTokenFilter filter, FunctionRef<void(std::string_view)> on_text,
             FunctionRef<void(const AddedToken&)> on_token) const;

 private:
  // A byte trie; the children of a node are neighbours, in order of their byte.
  struct Node {
    const AddedToken* token = nullptr;  // that ends here
    uint32_t first_child = 0;
    uint16_t child_count = 0;
    uint8_t byte = 0;
  };
  struct Found {
    const AddedToken* token = nullptr;
    size_t length = 0;
  };

  void build(const std::vector<Pattern>& patterns);
  const Node* child(const Node& node, uint8_t byte) const noexcept;
  Found longest_at(std::string_view text, size_t pos) const noexcept;

  std::vector<Node> nodes_;  // [0] is the root
  std::array<bool, 256> starts_{};
};

}  // namespace mach
