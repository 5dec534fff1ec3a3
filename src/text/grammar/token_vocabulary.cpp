#include "text/grammar/token_vocabulary.h"

#include <algorithm>
#include <limits>

namespace mach::grammar {
namespace {

constexpr uint32_t kNotText = std::numeric_limits<uint32_t>::max();
constexpr size_t kMaxTokenBytes = 4096;  // longer ones exist in no tokenizer and are simply never allowed

bool holds(std::span<const TokenId> ids, TokenId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

std::shared_ptr<const TokenVocabulary> TokenVocabulary::from_tokenizer(const Tokenizer& tokenizer,
                                                                       std::span<const TokenId> markers,
                                                                       std::span<const TokenId> stop_ids) {
  std::vector<std::pair<std::string_view, TokenId>> texts;
  for (TokenId id = 0; static_cast<size_t>(id) < tokenizer.vocab_size(); ++id) {
    if (tokenizer.is_special(id) || holds(markers, id) || holds(stop_ids, id)) continue;
    texts.emplace_back(tokenizer.token_bytes(id), id);
  }
  return std::shared_ptr<const TokenVocabulary>(
      new TokenVocabulary(tokenizer.vocab_size(), std::move(texts), stop_ids));
}

std::shared_ptr<const TokenVocabulary> TokenVocabulary::from_texts(std::span<const std::string> texts,
                                                                   std::span<const TokenId> stop_ids) {
  std::vector<std::pair<std::string_view, TokenId>> pairs;
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    if (!holds(stop_ids, id)) pairs.emplace_back(texts[i], id);
  }
  return std::shared_ptr<const TokenVocabulary>(
      new TokenVocabulary(texts.size(), std::move(pairs), stop_ids));
}

TokenVocabulary::TokenVocabulary(size_t size, std::vector<std::pair<std::string_view, TokenId>> texts,
                                 std::span<const TokenId> stop_ids)
    : size_(size), by_id_(size, kNotText) {
  for (const TokenId id : stop_ids) {
    if (id >= 0 && static_cast<size_t>(id) < size) stop_ids_.push_back(id);
  }
  std::erase_if(texts, [](const auto& t) { return t.first.empty() || t.first.size() > kMaxTokenBytes; });
  std::sort(texts.begin(), texts.end());
  tokens_.reserve(texts.size());
  std::string_view previous;
  for (const auto& [text, id] : texts) {
    const auto common = std::mismatch(previous.begin(), previous.end(), text.begin(), text.end()).second;
    by_id_[static_cast<size_t>(id)] = static_cast<uint32_t>(tokens_.size());
    tokens_.push_back({id, static_cast<uint32_t>(bytes_.size()), static_cast<uint16_t>(text.size()),
                       static_cast<uint16_t>(common - text.begin())});
    bytes_ += text;
    longest_ = std::max(longest_, text.size());
    previous = text;
  }
}

std::string_view TokenVocabulary::text(TokenId id) const {
  if (id < 0 || static_cast<size_t>(id) >= size_) return {};
  const uint32_t at = by_id_[static_cast<size_t>(id)];
  return at == kNotText ? std::string_view() : bytes(tokens_[at]);
}

bool TokenVocabulary::is_stop(TokenId id) const { return holds(stop_ids_, id); }

}  // namespace mach::grammar
