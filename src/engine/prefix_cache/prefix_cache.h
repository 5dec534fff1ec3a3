// What the model remembers of prompts and replies, kept for later ones that begin alike. An entry is a snapshot of a
// sequence state under its tokens. Entries share the blocks of paged caches with each other and with running sequences,
// so keeping a long conversation costs its own tokens once. A look-up takes the longest prefix that some entry can be
// brought to: any prefix of an entry whose caches keep every position, else exactly the entry's tokens.
//
// In exact mode the logits after a reused prefix are those of a cold run, bit for bit.
//
// Memory is bounded in entries and bytes; the least recently used snapshot goes first. With a DiskTier behind it entries
// are also saved: when a prompt or a reply has grown a good part beyond what is on disk (so a cold prompt at once, and a
// conversation now and then rather than at every turn), when a snapshot is displaced, and all of them in save_all(). An
// entry may be on disk only; a look-up that does better with it reads it back into memory.
//
// Single owner: the engine thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>

#include "base/function_ref.h"
#include "base/log.h"
#include "engine/prefix_cache/disk_tier.h"
#include "engine/prefix_cache/memory_ledger.h"
#include "engine/prefix_cache/prefix_cache_options.h"
#include "engine/prefix_cache/prefix_tree.h"
#include "model/sequence_state.h"

namespace mach {

class PrefixCache {
 public:
  // `disk` may be null.
  PrefixCache(const PrefixCacheOptions& options, std::unique_ptr<DiskTier> disk, Logger log);

  struct Reuse {
    uint32_t length = 0;  // tokens of the prompt that are in the state now
    uint32_t common = 0;  // tokens that it shares with something kept, even if no state could be had for them
  };

  // Brings an empty state as far along the prompt as an entry allows, its last token excluded: its logits are wanted.
  Reuse restore(std::span<const TokenId> prompt, SequenceState& state);

  // Keeps the state, which holds `tokens`, unless that is of no use.
  void insert(std::span<const TokenId> tokens, const SequenceState& state);

  // Takes note of what the disk tier has done. To be called now and then.
  void collect();

  // Brings what is only in memory to the disk, and waits for that.
  void save_all();

  void clear();

  const PrefixCacheOptions& options() const noexcept { return options_; }
  PrefixCacheStats stats() const;

 private:
  using EntryId = PrefixTree::EntryId;
  enum class Level : uint8_t { kMemory, kDisk, kSaved };  // kSaved: on disk or soon
  // At least one of snapshot and file.
  struct Entry {
    PrefixTree::Node* node = nullptr;
    uint32_t truncatable_to = 0;
    uint64_t last_used = 0;
    std::shared_ptr<const StateSnapshot> snapshot;
    std::optional<FileId> file;
  };
  struct Found {
    EntryId id = 0;
    uint32_t length = 0;
  };

  EntryId new_entry(PrefixTree::Node* node, uint32_t truncatable_to);
  bool has(const Entry& entry, Level level) const;
  // The entry of a level that brings a state furthest, at most to match.common.
  std::optional<Found> find(const PrefixTree::Match& match, Level level) const;
  bool read(const Found& found, SequenceState& state);
  bool covered(std::span<const TokenId> tokens);
  void drop_what_it_covers(EntryId id, FunctionRef<void(EntryId)> drop);
  void put_in_memory(EntryId id, std::shared_ptr<const StateSnapshot> snapshot);
  void save(EntryId id, uint32_t least_growth);
  void evict();
  void drop_snapshot(EntryId id);
  void drop_file(EntryId id);
  void remove_if_empty(EntryId id);
  void touch(EntryId id) { entries_.at(id).last_used = ++clock_; }

  const PrefixCacheOptions options_;
  Logger log_;
  std::unique_ptr<DiskTier> disk_;
  PrefixTree tree_;
  std::unordered_map<EntryId, Entry> entries_;
  std::unordered_map<FileId, EntryId> by_file_;
  uint32_t in_memory_ = 0;  // entries with a snapshot
  MemoryLedger memory_;
  EntryId next_id_ = 1;
  uint64_t clock_ = 0;  // counts uses
  PrefixCacheStats stats_;
};

}  // namespace mach
