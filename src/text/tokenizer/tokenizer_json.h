// Reads tokenizer.json into its parts. The file is hostile until read: ids are bounded, strings and ids occur once, merges
// refer to the vocabulary, components are small and shallow. Vocabulary and merges (most of the 10 to 35 MB) go from the
// parser straight into their tables.
// Format: Hugging Face tokenizers 0.23 and older. `truncation` and `padding` are ignored.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "text/tokenizer/added_tokens.h"
#include "text/tokenizer/bpe_model.h"
#include "text/tokenizer/merge_table.h"
#include "text/tokenizer/string_table.h"

namespace mach {

struct TokenizerJson {
  std::string name;  // of the file, for errors
  StringTable vocabulary;
  MergeTable merges;
  BpeOptions model;                      // byte_level is not the model's to say
  std::vector<AddedToken> added_tokens;  // in file order; contents and ids are unique
  nlohmann::json normalizer, pre_tokenizer, post_processor, decoder;
};

// Larger than any published file by an order of magnitude.
inline constexpr uint64_t kMaxTokenizerJsonBytes = uint64_t{256} << 20;

// `json` need not be padded. Throws Error{kCorruptFile, kUnsupported, kTooLarge} that names the field.
TokenizerJson parse_tokenizer_json(std::string_view json, const std::string& name);
// Also throws kNotFound and kIo.
TokenizerJson read_tokenizer_json(const std::filesystem::path& path);

}  // namespace mach
