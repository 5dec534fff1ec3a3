// An ExpertBank keeps routed experts reachable when they do not fit in memory together. A budget of bytes is cut into
// slots, one record each; an expert is absent, queued, being read, or resident in a slot. acquire() starts the reads of
// everything that is missing at once and hands out a lease; a leased expert is never evicted. The budget is a cap on all
// memory that the bank takes for weights, staging included, and is taken when the bank is made.
//
// Decode keeps what it uses by the eviction policy. Prefill goes through most experts once: what it reads lies in slots
// that are given up first, and reading ahead takes no more than a part of the bank, so decode's experts stay.
//
// Thread-safe. acquire() waits for the disk, or for other leases to end where those hold too much; a thread that holds a
// lease must not acquire another. A failed read fails the acquires that wait for it, with an Error that names layer and
// expert, and nothing else: the next acquire tries again.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "base/aligned_buffer.h"
#include "experts/bank_size.h"
#include "experts/eviction.h"
#include "experts/expert_provider.h"
#include "experts/expert_source.h"
#include "experts/hot_list.h"
#include "experts/lookahead_gate.h"
#include "experts/read_queue.h"
#include "io/file_reader.h"

namespace mach {

// Whether guesses are read.
enum class Lookahead : uint8_t {
  kOff,
  kMeasured,  // while the gate finds that it pays
  kOn,
};

struct BankOptions {
  uint64_t budget_bytes = 0;
  uint32_t top_k = 1;  // experts of one token and layer
  EvictionKind eviction = EvictionKind::kLfru;
  ReaderKind reader = ReaderKind::kBuffered;
  uint32_t lanes = 2;  // records that are read at a time
  Lookahead lookahead = Lookahead::kMeasured;
  // Where the experts used most are known from and noted (experts/hot_list.h); empty: nowhere. They are read at the start
  // and held for good, in at most half of the slots and never in those of a token's working set.
  std::filesystem::path hot_list;
};

class ExpertBank final : public ExpertProvider {
 public:
  // Throws Error{kOutOfBudget} where the budget holds less than one token's working set, Error{kUnsupported} where the
  // system refuses this reader.
  ExpertBank(std::unique_ptr<ExpertSource> source, const BankOptions& options);
  ~ExpertBank() override;

  using ExpertProvider::acquire;
  ExpertLease acquire(uint32_t layer, std::span<const uint32_t> experts, ExpertUse use) override;
  uint32_t max_lease(uint32_t layer) const noexcept override;
  void prefetch(uint32_t layer, std::span<const uint32_t> experts, PrefetchHint hint) noexcept override;
  bool wants_guesses() const noexcept override;
  ExpertStatus status() const override;

  // Is the expert in memory and complete? For tests and statistics.
  bool holds(ExpertId id) const;

 private:
  static constexpr uint32_t kNoSlot = UINT32_MAX;

  enum class State : uint8_t {
    kAbsent,
    kQueued,    // has a slot; a read may still be taken back
    kReading,   // a lane writes to the slot
    kResident,  // complete
    kFailed,    // of a read that some acquire still waits for
  };

  // An expert of any layer, by its number in the bank.
  struct Entry {
    State state = State::kAbsent;
    bool urgent = false;     // queued or being read, not on a guess
    bool fresh = false;      // read ahead and not used yet
    bool guessed = false;    // and that on a guess
    bool wanted = false;     // announced for the layer at hand or the next one
    bool transient = false;  // last used by a prefill: given up first
    uint32_t slot = kNoSlot;
    uint32_t pins = 0;
    uint64_t last_use = 0;  // for experts in transient slots: the oldest goes first
  };

  struct Layer {
    const ExpertLayerSpec* spec = nullptr;
    uint32_t first = 0;  // number of its expert 0
    uint32_t pool = 0;
    uint32_t place = 0;  // among the layers
    uint32_t resident = 0;
    std::vector<uint32_t> announced;  // entries that may be `wanted` or `guessed`
    ExpertCounters counters;
  };

  // The slots of one record size.
  struct Pool {
    uint64_t record_size = 0;
    AlignedBuffer memory;
    std::vector<uint32_t> owner;  // entry by slot
    std::vector<uint32_t> free;
    uint32_t idle = 0;   // slots whose expert is queued or resident without a lease
    uint32_t fresh = 0;  // slots of fresh experts
    uint32_t ahead = 0;  // most fresh ones that may push others out
    std::span<std::byte> slot(uint32_t index) noexcept {
      return memory.bytes().subspan(index * record_size, record_size);
    }
  };

  class Pin;
  friend class Pin;

  // Who needs a slot, and so whom it may displace.
  enum class Claim : uint8_t { kDecode, kPrefill, kAhead };

  // All below need the lock, but for the loop of a lane.
  Layer& layer_at(uint32_t layer);
  const Layer* find_layer(uint32_t layer) const noexcept;
  Layer& layer_of(uint32_t entry) noexcept { return layers_[layer_of_entry_[entry]]; }
  bool reads_guesses() const noexcept {
    return options_.lookahead == Lookahead::kOn || (options_.lookahead == Lookahead::kMeasured && gate_.on());
  }
  bool idle(const Entry& entry) const noexcept {
    return entry.pins == 0 && (entry.state == State::kQueued || entry.state == State::kResident);
  }
  void enter_layer(Layer& layer, ExpertUse use);
  void settle(Layer& layer) noexcept;
  bool enough_room(const Layer& layer, std::span<const uint32_t> experts) const noexcept;
  uint32_t take_slot(Layer& layer, Claim claim);
  uint32_t find_victim(const Pool& pool, const Layer& layer, Claim claim) const noexcept;
  void evict(uint32_t entry) noexcept;
  void start_read(Layer& layer, uint32_t entry, uint32_t slot, Urgency urgency);
  void use(Layer& layer, uint32_t entry, ExpertUse use);
  void pin(Layer& layer, uint32_t entry) noexcept;
  void unpin(uint32_t entry) noexcept;
  void release(std::span<const uint32_t> entries) noexcept;
  void publish(uint32_t entry, std::exception_ptr error, uint64_t read_ns) noexcept;
  void lane(const std::stop_token& stop, ReadContext context);
  uint32_t most_pinned(uint32_t pool) const noexcept;
  void hold_hot_experts();
  void note_hot_experts() noexcept;
  uint32_t small_lease(const Layer& layer) const noexcept;

  const std::unique_ptr<ExpertSource> source_;
  const BankOptions options_;
  uint64_t bank_bytes_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable changed_;   // an expert arrived or failed, or a lease ended
  std::condition_variable_any work_;  // a read was queued
  std::vector<Layer> layers_;
  std::vector<uint32_t> layer_of_entry_;
  std::vector<Entry> entries_;
  std::vector<Pool> pools_;
  std::map<uint32_t, std::exception_ptr> failures_;  // by entry
  ReadQueue queue_;
  EvictionPolicy policy_;
  LookaheadGate gate_;
  HotList hot_;                   // as it was at the start
  std::vector<uint64_t> tokens_;  // of decode, by entry; empty where nothing is noted
  uint64_t pinned_ = 0;
  uint64_t uses_ = 0;
  uint64_t pass_ = 0;  // passes over the layers so far
  bool decoding_ = false;
  uint32_t current_ = UINT32_MAX;  // layer of the last acquire, as a place in layers_
  uint64_t pass_misses_ = 0;
  int64_t pass_start_ns_ = 0;
  uint32_t urgent_ = 0;    // queued or running reads that are no guesses
  uint32_t guessing_ = 0;  // running guesses
  uint32_t waiting_ = 0;   // threads in acquire()

  std::vector<std::jthread> lanes_;  // last: they end before anything else
};

}  // namespace mach
