// What mach reads of tokenizer_config.json: which tokens have a role, and whether BOS and EOS are to be added to a text.
// The tokenizer itself does not depend on it; everything in it is optional.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mach {

struct TokenizerConfig {
  // Written as a string or as {"content": ...}; look the ids up with Tokenizer::token_to_id.
  std::optional<std::string> bos_token, eos_token, pad_token, unk_token;
  std::optional<bool> add_bos_token, add_eos_token;
  std::optional<uint64_t> model_max_length;  // empty also for the huge number that stands for "no limit"
  struct ChatTemplate {
    std::string name;  // "default" where the file has just one
    std::string source;
  };
  std::vector<ChatTemplate> chat_templates;  // chat_template.jinja beside the file takes precedence

  // Throws Error{kNotFound, kIo, kTooLarge, kCorruptFile}; a field of the wrong type is kCorruptFile and named.
  static TokenizerConfig read(const std::filesystem::path& path);
  static TokenizerConfig parse(std::string_view json, const std::string& name);
};

}  // namespace mach
