// The strings of a vocabulary, both ways: id -> string by index, string -> id by an open-addressing hash table.
// Strings lie one after another in one block; a quarter of a million of them load in a few milliseconds.
// Ids need not be dense, but the table is as long as the highest id: callers bound it (kMaxTokenId).
// Thread-compatible; const calls may run concurrently.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mach/session.h"

namespace mach {

// No published vocabulary comes near it; a higher id in a file is a mistake or an attack on our memory.
inline constexpr TokenId kMaxTokenId = (1 << 22) - 1;

class StringTable {
 public:
  // Room for `count` strings of `bytes` bytes together; more may be added.
  void reserve(size_t count, size_t bytes);

  enum class Insert : uint8_t { kOk, kDuplicateString, kDuplicateId };
  // 0 <= id <= kMaxTokenId. A duplicate changes nothing.
  Insert insert(std::string_view text, TokenId id);

  std::optional<TokenId> find(std::string_view text) const noexcept;
  // ids[i] = id of texts[i], -1 for an unknown string. Several times faster than as many find()s on a large table,
  // because the waits for memory overlap. At most kBatch at once.
  static constexpr size_t kBatch = 64;
  void find_batch(std::span<const std::string_view> texts, std::span<TokenId> ids) const noexcept;
  // The string of an id; data() is null when the id has none.
  std::string_view at(TokenId id) const noexcept;

  // One above the highest id.
  size_t id_limit() const noexcept { return entries_.size(); }
  size_t size() const noexcept { return count_; }
  size_t longest() const noexcept { return longest_; }

 private:
  struct Entry {
    uint32_t offset = 0;
    uint32_t length = kAbsent;
  };
  struct Slot {
    uint32_t tag = 0;  // high bits of the hash, so that most misses end without touching the string
    TokenId id = -1;
  };
  static constexpr uint32_t kAbsent = UINT32_MAX;

  void rehash(size_t slot_count);
  // The slot of `text` or the empty slot where it would go. The table is not empty.
  size_t locate(std::string_view text, uint64_t hash) const noexcept;

  std::string block_;
  std::vector<Entry> entries_;  // by id
  std::vector<Slot> slots_;     // a power of two, at most half full
  size_t count_ = 0;
  size_t longest_ = 0;
};

// 64 well-mixed bits. Not stable across versions: never stored in a file.
uint64_t hash_bytes(std::string_view bytes) noexcept;

}  // namespace mach
