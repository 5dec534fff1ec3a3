// For the tests of this folder: small tokenizers written by hand, and the shipped and published ones.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/shared_dir.h"
#include "text/tokenizer/tokenizer.h"

namespace mach::testing {

inline nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  return nlohmann::json::parse(file);
}

// The tokenizer.json of the demo checkpoint in models/: byte-level, 4095 tokens, the Qwen3 pre-tokeniser.
inline std::filesystem::path demo_tokenizer() {
  return source_dir() / "models/mini-qwen3_moe-mlx-4bit/tokenizer.json";
}

// A tokenizer.json with the given model parts; further fields are added by the caller.
inline nlohmann::json bpe_json(const std::vector<std::string>& vocabulary,
                               const std::vector<std::string>& merges) {
  nlohmann::json vocab = nlohmann::json::object();
  for (const std::string& token : vocabulary) {
    const size_t id = vocab.size();
    vocab[token] = id;
  }
  return {{"version", "1.0"},
          {"added_tokens", nlohmann::json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", {{"type", "Fuse"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
}

inline Tokenizer make_tokenizer(const nlohmann::json& json) {
  return Tokenizer::parse(json.dump(), "test.json");
}

inline nlohmann::json added_token(int id, const std::string& content,
                                  const nlohmann::json& flags = nlohmann::json::object()) {
  nlohmann::json token = {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
                          {"rstrip", false}, {"normalized", false}, {"special", false}};
  token.update(flags);
  return token;
}

}  // namespace mach::testing
