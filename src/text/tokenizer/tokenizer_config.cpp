#include "text/tokenizer/tokenizer_config.h"

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "io/json.h"
#include "text/tokenizer/component.h"

namespace mach {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{16} << 20;  // it may list every added token
constexpr double kNoLimit = 1e15;                   // int(1e30) means that nobody set one

std::optional<std::string> token(const Component& config, const char* key) {
  if (!config.has(key)) return std::nullopt;
  if (config.value()[key].is_object()) return config.child(key).string("content");
  return config.string(key);
}

std::optional<bool> flag(const Component& config, const char* key) {
  return config.has(key) ? std::optional(config.boolean(key)) : std::nullopt;
}

std::optional<uint64_t> max_length(const Component& config) {
  constexpr const char* kKey = "model_max_length";
  if (!config.has(kKey)) return std::nullopt;
  const nlohmann::json& value = config.value()[kKey];
  if (!value.is_number() || value < 0) config.fail_corrupt(kKey, "a number, not negative");
  const auto number = value.get<double>();
  return number < kNoLimit ? std::optional(static_cast<uint64_t>(number)) : std::nullopt;
}

std::vector<TokenizerConfig::ChatTemplate> templates(const Component& config) {
  constexpr const char* kKey = "chat_template";
  if (!config.has(kKey)) return {};
  if (config.value()[kKey].is_string()) return {{"default", config.string(kKey)}};
  std::vector<TokenizerConfig::ChatTemplate> result;
  for (const Component& entry : config.children(kKey)) {
    result.push_back({entry.string("name"), entry.string("template")});
  }
  return result;
}

}  // namespace

TokenizerConfig TokenizerConfig::parse(std::string_view json, const std::string& name) {
  JsonLimits limits;
  limits.max_bytes = kMaxBytes;
  limits.duplicates = DuplicateKeys::kKeepLast;
  const nlohmann::json value = parse_json(json, name, limits);
  const Component config(value, name);
  if (!value.is_object()) config.fail_corrupt("bos_token", "an object with the tokens' roles");
  TokenizerConfig result;
  result.bos_token = token(config, "bos_token");
  result.eos_token = token(config, "eos_token");
  result.pad_token = token(config, "pad_token");
  result.unk_token = token(config, "unk_token");
  result.add_bos_token = flag(config, "add_bos_token");
  result.add_eos_token = flag(config, "add_eos_token");
  result.model_max_length = max_length(config);
  result.chat_templates = templates(config);
  return result;
}

TokenizerConfig TokenizerConfig::read(const std::filesystem::path& path) {
  return parse(read_text_file(path, kMaxBytes), path.string());
}

}  // namespace mach
