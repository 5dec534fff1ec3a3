#include "text/tokenizer/string_table.h"

#define XXH_INLINE_ALL
#include <algorithm>
#include <array>
#include <bit>

#include <xxhash.h>

namespace mach {

uint64_t hash_bytes(std::string_view bytes) noexcept { return XXH3_64bits(bytes.data(), bytes.size()); }

void StringTable::reserve(size_t count, size_t bytes) {
  block_.reserve(bytes);
  entries_.reserve(count);
  const size_t wanted = std::bit_ceil(std::max<size_t>(count * 2, 16));
  if (wanted > slots_.size()) rehash(wanted);
}

void StringTable::rehash(size_t slot_count) {
  slots_.assign(slot_count, Slot{});
  const size_t mask = slot_count - 1;
  for (size_t id = 0; id < entries_.size(); ++id) {
    if (entries_[id].length == kAbsent) continue;
    const uint64_t hash = hash_bytes(at(static_cast<TokenId>(id)));
    size_t i = hash & mask;
    while (slots_[i].id >= 0) i = (i + 1) & mask;
    slots_[i] = {static_cast<uint32_t>(hash >> 32), static_cast<TokenId>(id)};
  }
}

size_t StringTable::locate(std::string_view text, uint64_t hash) const noexcept {
  const auto tag = static_cast<uint32_t>(hash >> 32);
  const size_t mask = slots_.size() - 1;
  size_t i = hash & mask;
  while (slots_[i].id >= 0 && !(slots_[i].tag == tag && at(slots_[i].id) == text)) i = (i + 1) & mask;
  return i;
}

StringTable::Insert StringTable::insert(std::string_view text, TokenId id) {
  if ((count_ + 1) * 2 > slots_.size()) rehash(std::max<size_t>(slots_.size() * 2, 16));
  const uint64_t hash = hash_bytes(text);
  Slot& slot = slots_[locate(text, hash)];
  if (slot.id >= 0) return Insert::kDuplicateString;
  const auto index = static_cast<size_t>(id);
  if (index >= entries_.size()) entries_.resize(index + 1);
  if (entries_[index].length != kAbsent) return Insert::kDuplicateId;
  entries_[index] = {static_cast<uint32_t>(block_.size()), static_cast<uint32_t>(text.size())};
  block_.append(text);
  slot = {static_cast<uint32_t>(hash >> 32), id};
  ++count_;
  longest_ = std::max(longest_, text.size());
  return Insert::kOk;
}

std::optional<TokenId> StringTable::find(std::string_view text) const noexcept {
  if (slots_.empty()) return std::nullopt;
  const TokenId id = slots_[locate(text, hash_bytes(text))].id;
  return id >= 0 ? std::optional(id) : std::nullopt;
}

// Three passes, each asking early for what the next one reads: slot, entry, string.
void StringTable::find_batch(std::span<const std::string_view> texts, std::span<TokenId> ids) const noexcept {
  std::array<uint64_t, kBatch> hashes;
  const size_t count = std::min(texts.size(), kBatch);
  if (slots_.empty()) {
    std::fill(ids.begin(), ids.end(), -1);
    return;
  }
  const size_t mask = slots_.size() - 1;
  for (size_t i = 0; i < count; ++i) {
    hashes[i] = hash_bytes(texts[i]);
    __builtin_prefetch(&slots_[hashes[i] & mask]);
  }
  for (size_t i = 0; i < count; ++i) {
    const TokenId id = slots_[hashes[i] & mask].id;
    if (id >= 0) __builtin_prefetch(&entries_[static_cast<size_t>(id)]);
  }
  for (size_t i = 0; i < count; ++i) {
    const TokenId id = slots_[hashes[i] & mask].id;
    if (id >= 0) __builtin_prefetch(block_.data() + entries_[static_cast<size_t>(id)].offset);
  }
  for (size_t i = 0; i < count; ++i) ids[i] = slots_[locate(texts[i], hashes[i])].id;
}

std::string_view StringTable::at(TokenId id) const noexcept {
  if (id < 0 || static_cast<size_t>(id) >= entries_.size()) return {};
  const Entry entry = entries_[static_cast<size_t>(id)];
  if (entry.length == kAbsent) return {};
  return std::string_view(block_).substr(entry.offset, entry.length);
}

}  // namespace mach
