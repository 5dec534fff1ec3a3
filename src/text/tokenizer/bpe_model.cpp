#include "text/tokenizer/bpe_model.h"

#include <algorithm>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include "mach/error.h"

#include "base/utf8.h"
#include "text/tokenizer/byte_level.h"
#include "text/tokenizer/characters.h"

namespace mach {
namespace {

constexpr size_t kFewSymbols = 48;  // below it, scanning beats a heap
constexpr char32_t kDirectCharacters = 0x10000;
constexpr uint64_t kPairBits = uint64_t{1} << 22;
constexpr int32_t kNone = -1;

uint64_t pair_bit(char32_t left, char32_t right) {
  const uint64_t key = uint64_t{left} << 32 | right;
  return ((key ^ key >> 29) * 0x9e3779b97f4a7c15U) & (kPairBits - 1);
}

std::string byte_level_character(uint8_t byte) {
  std::string text;
  append_utf8(text, byte_level_characters()[byte]);
  return text;
}

}  // namespace

BpeModel::BpeModel(StringTable vocabulary, MergeTable merges, BpeOptions options, const std::string& where)
    : vocabulary_(std::move(vocabulary)),
      merges_(std::move(merges)),
      options_(std::move(options)),
      where_(where) {
  plain_ = options_.continuing_subword_prefix.empty() && options_.end_of_word_suffix.empty();
  if (options_.unk_token) unk_id_ = vocabulary_.find(*options_.unk_token);
  for (unsigned byte = 0; byte < 256; ++byte) {
    const std::string name = options_.byte_level ? byte_level_character(static_cast<uint8_t>(byte))
                                                 : fmt::format("<0x{:02X}>", byte);
    byte_ids_[byte] = vocabulary_.find(name).value_or(kNone);
  }
  if (options_.byte_level) {
    const bool complete =
        std::none_of(byte_ids_.begin(), byte_ids_.end(), [](TokenId id) { return id == kNone; });
    if (options_.byte_fallback && !(complete && plain_)) {
      throw Error(ErrorCode::kUnsupported, where_ +
                                               ".byte_fallback: true is not supported with a ByteLevel "
                                               "pre-tokenizer and a vocabulary that lacks bytes");
    }
  } else {
    index_characters();
    if (plain_) index_pairs();
  }
}

void BpeModel::index_characters() {
  character_ids_.assign(kDirectCharacters, kNone);
  for (size_t id = 0; id < vocabulary_.id_limit(); ++id) {
    const std::string_view text = vocabulary_.at(static_cast<TokenId>(id));
    if (text.empty() || text.size() > 3) continue;
    const Character c = character_at(text, 0);
    if (c.length == text.size() && c.code_point < kDirectCharacters)
      character_ids_[c.code_point] = static_cast<TokenId>(id);
  }
}

// A merge joins two characters only if its result contains them side by side. So between two characters that no result
// contains side by side, a text may be cut and its parts encoded by themselves: the outcome is the same, and a text that
// the pre-tokeniser left whole (Gemma's) falls into words that repeat.
void BpeModel::index_pairs() {
  joinable_pairs_.assign(kPairBits / 64, 0);
  std::vector<bool> is_result(vocabulary_.id_limit(), false);
  merges_.for_each_merged([&](TokenId id) { is_result[static_cast<size_t>(id)] = true; });
  for (size_t id = 0; id < is_result.size(); ++id) {
    if (!is_result[id]) continue;
    const std::string_view text = vocabulary_.at(static_cast<TokenId>(id));
    char32_t left = 0;
    for (size_t pos = 0; pos < text.size();) {
      const Character c = character_at(text, pos);
      if (pos > 0) {
        const uint64_t bit = pair_bit(left, c.code_point);
        joinable_pairs_[bit / 64] |= uint64_t{1} << bit % 64;
      }
      left = c.code_point;
      pos += c.length;
    }
  }
}

// False only if no merge can ever join them; a collision of hashes says true, which costs time, not correctness.
bool BpeModel::may_join(char32_t left, char32_t right) const noexcept {
  const uint64_t bit = pair_bit(left, right);
  return (joinable_pairs_[bit / 64] >> bit % 64 & 1) != 0;
}

TokenId BpeModel::id_of_character(std::string_view character) const noexcept {
  const Character c = character_at(character, 0);
  if (c.code_point < kDirectCharacters) return character_ids_[c.code_point];
  return vocabulary_.find(character).value_or(kNone);
}

void BpeModel::encode(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const {
  if (piece.empty()) return;
  if (joinable_pairs_.empty() || options_.ignore_merges) return encode_cached(piece, scratch, out);
  // Cut where nothing can join. Unknown characters stay with their neighbours: they may fuse.
  size_t begin = 0;
  char32_t left = 0;
  bool left_known = false;
  for (size_t pos = 0; pos < piece.size();) {
    const Character c = character_at(piece, pos);
    const bool known = id_of_character(piece.substr(pos, c.length)) != kNone;
    if (left_known && known && !may_join(left, c.code_point)) {
      encode_cached(piece.substr(begin, pos - begin), scratch, out);
      begin = pos;
    }
    left = c.code_point;
    left_known = known;
    pos += c.length;
  }
  encode_cached(piece.substr(begin), scratch, out);
}

void BpeModel::encode_cached(std::string_view word, Scratch& scratch, std::vector<TokenId>& out) const {
  if (!WordCache::fits(word)) return encode_word(word, scratch, out);
  const uint64_t hash = hash_bytes(word);
  const std::span<const TokenId> known = scratch.cache.find(word, hash);
  if (!known.empty()) {
    out.insert(out.end(), known.begin(), known.end());
    return;
  }
  const size_t before = out.size();
  encode_word(word, scratch, out);
  scratch.cache.insert(word, hash, std::span(out).subspan(before));
}

void BpeModel::encode_word(std::string_view word, Scratch& scratch, std::vector<TokenId>& out) const {
  if (options_.ignore_merges && encode_whole(word, scratch, out)) return;
  scratch.symbols.clear();
  if (options_.byte_level && plain_ && !options_.unk_token) {
    start_from_bytes(word, scratch.symbols);
  } else {
    start_from_units(word, scratch);
  }
  if (scratch.symbols.size() <= kFewSymbols) {
    merge_few(scratch.symbols);
  } else {
    merge_many(scratch);
  }
  out.insert(out.end(), scratch.symbols.begin(), scratch.symbols.end());
}

bool BpeModel::encode_whole(std::string_view word, Scratch& scratch, std::vector<TokenId>& out) const {
  if (word.size() > vocabulary_.longest()) return false;
  std::string_view text = word;
  if (options_.byte_level) {
    scratch.text.clear();
    append_byte_level_encoded(word, scratch.text);
    text = scratch.text;
  }
  const std::optional<TokenId> id = vocabulary_.find(text);
  if (id) out.push_back(*id);
  return id.has_value();
}

void BpeModel::start_from_bytes(std::string_view word, std::vector<TokenId>& symbols) const {
  for (const char byte : word) {
    const TokenId id = byte_ids_[static_cast<uint8_t>(byte)];
    if (id != kNone) symbols.push_back(id);
  }
}

// The general way: a unit is a character, or a byte written as its byte-level character.
void BpeModel::start_from_units(std::string_view word, Scratch& scratch) const {
  std::vector<TokenId>& symbols = scratch.symbols;
  bool unknown_pending = false;
  for (size_t pos = 0; pos < word.size();) {
    const size_t length = options_.byte_level ? 1 : character_at(word, pos).length;
    const std::string_view unit = word.substr(pos, length);
    const bool first = pos == 0;
    pos += length;
    TokenId id = kNone;
    if (plain_) {
      id = options_.byte_level ? byte_ids_[static_cast<uint8_t>(unit[0])] : id_of_character(unit);
      scratch.text.assign(unit);
    } else {
      scratch.text.assign(first ? "" : options_.continuing_subword_prefix);
      if (options_.byte_level) {
        append_byte_level_encoded(unit, scratch.text);
      } else {
        scratch.text.append(unit);
      }
      if (pos == word.size()) scratch.text.append(options_.end_of_word_suffix);
      id = vocabulary_.find(scratch.text).value_or(kNone);
    }
    if (id != kNone) {
      if (unknown_pending) symbols.push_back(*unk_id_);
      unknown_pending = false;
      symbols.push_back(id);
      continue;
    }
    // Bytes do not push out a pending unknown token; the reference does not either.
    if (append_fallback(scratch.text, symbols) || !options_.unk_token) continue;
    if (!unk_id_) {
      throw Error(
          ErrorCode::kCorruptFile,
          fmt::format("{}.unk_token: '{}' is needed but not in the vocabulary", where_, *options_.unk_token));
    }
    if (unknown_pending && !options_.fuse_unk) symbols.push_back(*unk_id_);
    unknown_pending = true;
  }
  if (unknown_pending) symbols.push_back(*unk_id_);
}

bool BpeModel::append_fallback(std::string_view unit, std::vector<TokenId>& symbols) const {
  if (!options_.byte_fallback || options_.byte_level) return false;
  const auto id_of = [&](char byte) { return byte_ids_[static_cast<uint8_t>(byte)]; };
  if (std::any_of(unit.begin(), unit.end(), [&](char byte) { return id_of(byte) == kNone; })) return false;
  for (const char byte : unit) symbols.push_back(id_of(byte));
  return true;
}

void BpeModel::merge_few(std::vector<TokenId>& symbols) const {
  size_t count = symbols.size();
  if (count < 2) return;
  std::array<Merge, kFewSymbols> merges;  // [i]: of symbols i and i + 1
  for (size_t i = 0; i + 1 < count; ++i) merges[i] = merges_.find(symbols[i], symbols[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == UINT32_MAX) break;
    symbols[best] = merges[best].merged;
    for (size_t i = best + 1; i + 1 < count; ++i) {
      symbols[i] = symbols[i + 1];
      merges[i] = merges[i + 1];
    }
    --count;
    if (best > 0) merges[best - 1] = merges_.find(symbols[best - 1], symbols[best]);
    if (best + 1 < count) merges[best] = merges_.find(symbols[best], symbols[best + 1]);
  }
  symbols.resize(count);
}

void BpeModel::push_candidate(Scratch& scratch, int32_t position) const {
  const auto at = static_cast<size_t>(position);
  const int32_t right = scratch.next[at];
  if (right == kNone) return;
  const TokenId left_id = scratch.symbols[at];
  const TokenId right_id = scratch.symbols[static_cast<size_t>(right)];
  const Merge merge = merges_.find(left_id, right_id);
  if (merge.rank == UINT32_MAX) return;
  scratch.heap.push_back(
      {uint64_t{merge.rank} << 32 | static_cast<uint32_t>(position), left_id, right_id, merge.merged});
}

// A heap of candidates over a doubly linked list of symbols. A candidate whose symbols have changed since is skipped.
void BpeModel::merge_many(Scratch& scratch) const {
  std::vector<TokenId>& symbols = scratch.symbols;
  const auto count = static_cast<int32_t>(symbols.size());
  scratch.previous.resize(symbols.size());
  scratch.next.resize(symbols.size());
  for (int32_t i = 0; i < count; ++i) {
    scratch.previous[static_cast<size_t>(i)] = i - 1;
    scratch.next[static_cast<size_t>(i)] = i + 1 < count ? i + 1 : kNone;
  }
  std::vector<Candidate>& heap = scratch.heap;
  heap.clear();
  for (int32_t i = 0; i < count; ++i) push_candidate(scratch, i);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());

  const auto push_ordered = [&](int32_t position) {
    const size_t before = heap.size();
    push_candidate(scratch, position);
    if (heap.size() > before) std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const Candidate top = heap.back();
    heap.pop_back();
    const auto position = static_cast<int32_t>(top.order & UINT32_MAX);
    const auto left = static_cast<size_t>(position);
    const int32_t right = scratch.next[left];
    if (symbols[left] != top.left || right == kNone || symbols[static_cast<size_t>(right)] != top.right)
      continue;
    const int32_t after = scratch.next[static_cast<size_t>(right)];
    symbols[left] = top.merged;
    symbols[static_cast<size_t>(right)] = kNone;
    scratch.next[left] = after;
    if (after != kNone) scratch.previous[static_cast<size_t>(after)] = position;
    if (scratch.previous[left] != kNone) push_ordered(scratch.previous[left]);
    push_ordered(position);
  }
  std::erase(symbols, kNone);
}

}  // namespace mach
