#include "engine/prefix_cache/prefix_cache.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "mach/error.h"

namespace mach {
namespace {

// A state is saved when a quarter of it is not on disk yet: a growing conversation is rewritten whole each time, so the
// bytes written stay within a few times its size.
constexpr uint32_t kSavedGrowth = 4;

PrefixCacheOptions normalised(PrefixCacheOptions options) {
  options.enabled = options.enabled && options.max_entries > 0;
  return options;
}

}  // namespace

PrefixCache::PrefixCache(const PrefixCacheOptions& options, std::unique_ptr<DiskTier> disk, Logger log)
    : options_(normalised(options)), log_(std::move(log)), disk_(std::move(disk)) {
  if (!disk_) return;
  for (const DiskTier::Saved& saved : disk_->take_saved()) {
    PrefixTree::Node* const node = tree_.insert(saved.tokens);
    if (node->entry()) continue;  // a second file of the same tokens, under another name
    const EntryId id = new_entry(node, saved.truncatable_to);
    entries_.at(id).file = saved.id;
    by_file_.emplace(saved.id, id);
  }
}

PrefixCache::EntryId PrefixCache::new_entry(PrefixTree::Node* node, uint32_t truncatable_to) {
  const EntryId id = next_id_++;
  tree_.set_entry(node, id);
  entries_.emplace(id, Entry{node, truncatable_to, ++clock_, nullptr, std::nullopt});
  return id;
}

PrefixCache::Reuse PrefixCache::restore(std::span<const TokenId> prompt, SequenceState& state) {
  if (!options_.enabled) return {};
  collect();
  ++stats_.lookups;
  const PrefixTree::Match match = tree_.find(prompt.first(prompt.size() - 1));
  Reuse reuse{0, match.common};
  const auto in_memory = find(match, Level::kMemory);
  const auto on_disk = disk_ ? find(match, Level::kDisk) : std::nullopt;
  const uint32_t from_memory = in_memory ? in_memory->length : 0;
  if (on_disk && on_disk->length >= from_memory + options_.block_size && read(*on_disk, state)) {
    reuse.length = on_disk->length;
    ++stats_.disk_hits;
  } else if (from_memory >= options_.block_size) {
    state.restore(*entries_.at(in_memory->id).snapshot);
    touch(in_memory->id);
    reuse.length = from_memory;
  } else {
    return reuse;
  }
  if (reuse.length < state.length()) state.truncate(reuse.length);
  ++stats_.hits;
  stats_.cached_tokens += reuse.length;
  return reuse;
}

// Into the state and, for the next time, into memory.
bool PrefixCache::read(const Found& found, SequenceState& state) {
  const Entry& entry = entries_.at(found.id);
  try {
    disk_->read(*entry.file, entry.node->key(), state);
  } catch (const Error& e) {
    log_.warning("event=disk_prefix_not_read error=\"{}\"", e.what());
    drop_file(found.id);
    return false;
  }
  put_in_memory(found.id, std::make_shared<const StateSnapshot>(state.snapshot()));
  return true;
}

bool PrefixCache::has(const Entry& entry, Level level) const {
  switch (level) {
    case Level::kMemory:
      return entry.snapshot != nullptr;
    case Level::kDisk:
      return entry.file && disk_->readable(*entry.file);
    case Level::kSaved:
      return entry.file.has_value();
  }
  return false;
}

// Below a place lie the entries that share all tokens up to it; one that can go back that far serves. A place further up
// has more of them, and a shorter length.
std::optional<PrefixCache::Found> PrefixCache::find(const PrefixTree::Match& match, Level level) const {
  std::optional<Found> found;
  const auto serves = [&](const PrefixTree::Node* below, uint32_t length) {
    return PrefixTree::visit_down(below, [&](EntryId id) {
      const Entry& entry = entries_.at(id);
      if (entry.truncatable_to > length || !has(entry, level)) return false;
      found = {id, length};
      return true;
    });
  };
  if (serves(match.below, match.common)) return found;
  for (const PrefixTree::Node* node = match.at; node != nullptr && node->depth() >= options_.block_size;
       node = node->parent()) {
    if (serves(node, node->depth())) break;
  }
  return found;
}

void PrefixCache::insert(std::span<const TokenId> tokens, const SequenceState& state) {
  if (!options_.enabled || tokens.size() < options_.block_size || covered(tokens)) return;
  auto snapshot = std::make_shared<const StateSnapshot>(state.snapshot());
  if (MemoryLedger::bytes_of(*snapshot) > options_.max_bytes) return;
  PrefixTree::Node* const node = tree_.insert(tokens);
  const EntryId id = node->entry() ? *node->entry() : new_entry(node, snapshot->truncatable_to());
  ++stats_.insertions;
  put_in_memory(id, std::move(snapshot));
  save(id, std::max(options_.block_size, static_cast<uint32_t>(tokens.size()) / kSavedGrowth));
}

// An entry of these tokens, or a longer one that can go back to them, is as good; it counts as used.
bool PrefixCache::covered(std::span<const TokenId> tokens) {
  const PrefixTree::Match match = tree_.find(tokens);
  if (match.common < tokens.size()) return false;
  return PrefixTree::visit_down(match.below, [&](EntryId id) {
    const Entry& entry = entries_.at(id);
    if (!entry.snapshot) return false;
    if (entry.node->depth() != tokens.size() && entry.truncatable_to > tokens.size()) return false;
    touch(id);
    return true;
  });
}

// Shorter entries that this one can be truncated to.
void PrefixCache::drop_what_it_covers(EntryId id, FunctionRef<void(EntryId)> drop) {
  const Entry& entry = entries_.at(id);
  std::vector<EntryId> useless;
  PrefixTree::visit_up(entry.node, [&](EntryId other, uint32_t length) {
    if (length < entry.node->depth() && entry.truncatable_to <= length) useless.push_back(other);
    return false;
  });
  for (const EntryId other : useless) drop(other);
}

void PrefixCache::put_in_memory(EntryId id, std::shared_ptr<const StateSnapshot> snapshot) {
  Entry& entry = entries_.at(id);
  touch(id);
  if (entry.snapshot) return;
  memory_.add(*snapshot);
  entry.snapshot = std::move(snapshot);
  ++in_memory_;
  drop_what_it_covers(id, [this](EntryId other) { drop_snapshot(other); });
  evict();
}

// Unless less than `least_growth` of its tokens are new to the disk.
void PrefixCache::save(EntryId id, uint32_t least_growth) {
  if (!disk_) return;
  Entry& entry = entries_.at(id);
  if (!entry.snapshot || entry.file) return;
  const uint32_t length = entry.node->depth();
  const auto saved = find({length, entry.node, entry.node}, Level::kSaved);
  if (length - (saved ? saved->length : 0) < least_growth) return;
  entry.file = disk_->write(entry.node->key(), entry.snapshot, MemoryLedger::bytes_of(*entry.snapshot));
  if (entry.file) by_file_.emplace(*entry.file, id);
}

void PrefixCache::evict() {
  while (in_memory_ > options_.max_entries || memory_.bytes() > options_.max_bytes) {
    auto oldest = entries_.end();
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
      if (!entry->second.snapshot) continue;
      if (oldest == entries_.end() || entry->second.last_used < oldest->second.last_used) oldest = entry;
    }
    const EntryId id = oldest->first;
    save(id, options_.block_size);
    drop_snapshot(id);
    ++stats_.evictions;
  }
}

void PrefixCache::drop_snapshot(EntryId id) {
  Entry& entry = entries_.at(id);
  if (!entry.snapshot) return;
  memory_.remove(*entry.snapshot);
  entry.snapshot.reset();
  --in_memory_;
  remove_if_empty(id);
}

void PrefixCache::drop_file(EntryId id) {
  Entry& entry = entries_.at(id);
  if (!entry.file) return;
  disk_->remove(*entry.file);
  by_file_.erase(*entry.file);
  entry.file.reset();
  remove_if_empty(id);
}

void PrefixCache::remove_if_empty(EntryId id) {
  const auto entry = entries_.find(id);
  if (entry->second.snapshot || entry->second.file) return;
  tree_.remove(entry->second.node);
  entries_.erase(entry);
}

void PrefixCache::collect() {
  if (!disk_) return;
  const DiskTier::Changes changes = disk_->collect();
  for (const FileId file : changes.gone) {
    const auto owner = by_file_.find(file);
    if (owner == by_file_.end()) continue;
    const EntryId id = owner->second;
    by_file_.erase(owner);
    entries_.at(id).file.reset();
    remove_if_empty(id);
  }
  for (const FileId file : changes.written) {
    const auto owner = by_file_.find(file);
    if (owner == by_file_.end()) continue;
    drop_what_it_covers(owner->second, [this](EntryId other) { drop_file(other); });
  }
}

void PrefixCache::save_all() {
  if (!disk_) return;
  std::vector<std::pair<uint32_t, EntryId>> longest_first;
  longest_first.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) longest_first.emplace_back(entry.node->depth(), id);
  std::sort(longest_first.rbegin(), longest_first.rend());
  for (const auto& [length, id] : longest_first) {
    if (!entries_.contains(id)) continue;
    save(id, options_.block_size);
    disk_->flush();
    collect();
  }
}

void PrefixCache::clear() {
  std::vector<EntryId> ids;
  ids.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) ids.push_back(id);
  for (const EntryId id : ids) {
    drop_snapshot(id);
    if (entries_.contains(id)) drop_file(id);
  }
}

PrefixCacheStats PrefixCache::stats() const {
  PrefixCacheStats stats = stats_;
  stats.entries = in_memory_;
  stats.bytes = memory_.bytes();
  if (!disk_) return stats;
  stats.disk_files = disk_->count();
  stats.disk_bytes = disk_->bytes();
  stats.disk_writes = disk_->writes();
  stats.disk_evictions = disk_->evictions();
  stats.disk_errors = disk_->errors();
  return stats;
}

}  // namespace mach
