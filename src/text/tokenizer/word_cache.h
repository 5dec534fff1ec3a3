// Remembers the encodings of short words, since text repeats them: a table of fixed size, two places per hash, the older
// of the two is overwritten. One megabyte, whatever the text. Single owner.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "mach/session.h"

#include "text/tokenizer/string_table.h"

namespace mach {

class WordCache {
 public:
  static constexpr size_t kMaxBytes = 32;
  static constexpr size_t kMaxIds = 7;

  static bool fits(std::string_view word) noexcept { return word.size() <= kMaxBytes; }

  // The ids of a word that fits(); empty when it is not there. Valid until the next insert.
  std::span<const TokenId> find(std::string_view word, uint64_t hash) const noexcept {
    if (entries_.empty()) return {};
    const size_t first = first_of(hash);
    for (size_t i = first; i < first + kWays; ++i) {
      const Entry& entry = entries_[i];
      if (entry.id_count > 0 && entry.byte_count == word.size() &&
          std::memcmp(entry.bytes.data(), word.data(), word.size()) == 0) {
        return std::span(entry.ids).first(entry.id_count);
      }
    }
    return {};
  }

  // Does nothing when there are no ids or too many.
  void insert(std::string_view word, uint64_t hash, std::span<const TokenId> ids) {
    if (ids.empty() || ids.size() > kMaxIds) return;
    if (entries_.empty()) entries_.resize(kEntries);
    const size_t first = first_of(hash);
    entries_[first + 1] = entries_[first];
    Entry& entry = entries_[first];
    std::memcpy(entry.bytes.data(), word.data(), word.size());
    entry.byte_count = static_cast<uint8_t>(word.size());
    entry.id_count = static_cast<uint8_t>(ids.size());
    std::memcpy(entry.ids.data(), ids.data(), ids.size_bytes());
  }

 private:
  static constexpr size_t kEntries = 1 << 14;
  static constexpr size_t kWays = 2;
  struct alignas(64) Entry {
    std::array<char, kMaxBytes> bytes;
    std::array<TokenId, kMaxIds> ids;
    uint8_t byte_count = 0;
    uint8_t id_count = 0;
  };
  static_assert(sizeof(Entry) == 64);

  static size_t first_of(uint64_t hash) noexcept { return (hash & (kEntries / kWays - 1)) * kWays; }

  std::vector<Entry> entries_;
};

}  // namespace mach
