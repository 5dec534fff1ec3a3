#include "text/tokenizer/string_table.h"

#define XXH_INLINE_ALL
#include <algorithm>
#include <bit>
#include <cstring>

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

StringTable::Insert StringTable::insert(std::string_view text, TokenId id) {
  if ((count_ + 1) * 2 > slots_.size()) rehash(std::max<size_t>(slots_.size() * 2, 16));
  const uint64_t hash = hash_bytes(text);
  const auto tag = static_cast<uint32_t>(hash >> 32);
  const size_t mask = slots_.size() - 1;
  size_t i = hash & mask;
  for (; slots_[i].id >= 0; i = (i + 1) & mask) {
    if (slots_[i].tag == tag && at(slots_[i].id) == text) return Insert::kDuplicateString;
  }
  const auto index = static_cast<size_t>(id);
  if (index >= entries_.size()) entries_.resize(index + 1);
  if (entries_[index].length != kAbsent) return Insert::kDuplicateId;
  entries_[index] = {static_cast<uint32_t>(block_.size()), static_cast<uint32_t>(text.size())};
  block_.append(text);
  slots_[i] = {tag, id};
  ++count_;
  longest_ = std::max(longest_, text.size());
  return Insert::kOk;
}

std::optional<TokenId> StringTable::find(std::string_view text) const noexcept {
  if (slots_.empty()) return std::nullopt;
  const uint64_t hash = hash_bytes(text);
  const auto tag = static_cast<uint32_t>(hash >> 32);
  const size_t mask = slots_.size() - 1;
  for (size_t i = hash & mask; slots_[i].id >= 0; i = (i + 1) & mask) {
    if (slots_[i].tag == tag && at(slots_[i].id) == text) return slots_[i].id;
  }
  return std::nullopt;
}

std::string_view StringTable::at(TokenId id) const noexcept {
  if (id < 0 || static_cast<size_t>(id) >= entries_.size()) return {};
  const Entry entry = entries_[static_cast<size_t>(id)];
  if (entry.length == kAbsent) return {};
  return std::string_view(block_).substr(entry.offset, entry.length);
}

}  // namespace mach
