// What an expert provider has done so far, for statistics. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mach {

struct ExpertCounters {
  uint64_t hits = 0;       // experts that were in memory when they were asked for
  uint64_t misses = 0;     // experts that had to be read for this pass
  uint64_t evictions = 0;  // experts given up for others
  uint64_t reads = 0;      // records read, guesses included
  uint64_t bytes_read = 0;
  uint64_t read_ns = 0;         // sum over records, from the start of a read until it is in its final form
  uint64_t stall_ns = 0;        // time that acquire() waited
  uint64_t guesses_useful = 0;  // records read on a guess and used
  uint64_t guesses_wasted = 0;  // records read on a guess for nothing

  ExpertCounters& operator+=(const ExpertCounters& other) noexcept {
    hits += other.hits;
    misses += other.misses;
    evictions += other.evictions;
    reads += other.reads;
    bytes_read += other.bytes_read;
    read_ns += other.read_ns;
    stall_ns += other.stall_ns;
    guesses_useful += other.guesses_useful;
    guesses_wasted += other.guesses_wasted;
    return *this;
  }
  double hit_rate() const noexcept {
    return hits + misses == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(hits + misses);
  }
};

// How the routed experts of a model are held.
struct ExpertStatus {
  std::string residency = "resident";  // "resident" or "streaming"
  std::string source;                  // "sidecar", "stacked", "sliced"
  std::string reader;                  // streaming: "uring", "pread", "buffered", "mmap"
  uint32_t lanes = 0;                  // streaming: reads at a time
  std::string eviction;                // streaming: "lfru", "lru", "lookahead"
  uint64_t budget_bytes = 0;           // streaming: the cap
  uint64_t bank_bytes = 0;             // streaming: taken by slots and staging, at most the budget
  uint64_t slots = 0;                  // streaming: experts that fit
  uint64_t held = 0;                   // experts in memory now
  uint64_t pinned = 0;                 // of them, held for good: the hot list
  uint64_t experts = 0;                // of all layers
  bool lookahead = false;              // guesses are read now
  ExpertCounters total;
  struct Layer {
    uint32_t layer = 0;
    ExpertCounters counters;
  };
  std::vector<Layer> layers;  // streaming
};

}  // namespace mach
