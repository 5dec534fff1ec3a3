// What one rendering may cost. A template and its inputs are hostile until proven otherwise: loops, string repetition and
// nested containers must end in an error before they end the process. Every operation spends steps; every heap value is
// charged while it lives; no text grows past a limit.
// Single-owner: a Budget belongs to one rendering on one thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mach::jinja {

struct Limits {
  uint64_t steps = 100'000'000;  // evaluated nodes and iterated items; bulk text work counts per 64 bytes
  size_t text_bytes = size_t{32} << 20;       // one string, and the whole output
  size_t live_bytes = size_t{256} << 20;      // all values alive at the same time
  uint32_t call_depth = 250;                  // macros and recursive loops inside each other
  size_t stack_bytes = size_t{1} << 20;       // native stack below render()
  static constexpr uint32_t kNesting = 200;   // containers inside containers
  static constexpr int64_t kRange = 100'000;  // items of range(), as in Jinja's sandbox
};

class Budget {
 public:
  explicit Budget(const Limits& limits) noexcept : limits_(limits), steps_left_(limits.steps) {}
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  const Limits& limits() const noexcept { return limits_; }
  size_t live_bytes() const noexcept { return live_bytes_; }

  // Each throws Failure{kTooLarge} when the limit is passed.
  void step(uint64_t count = 1) {
    if (count > steps_left_) out_of_steps();
    steps_left_ -= count;
  }
  void step_bytes(size_t bytes) { step(bytes >> 6); }
  void allocate(size_t bytes) {
    if (bytes > limits_.live_bytes - live_bytes_) out_of_memory();
    live_bytes_ += bytes;
  }
  void check_text(size_t bytes) const {
    if (bytes > limits_.text_bytes) text_too_long();
  }

  void release(size_t bytes) noexcept { live_bytes_ -= bytes; }

 private:
  [[noreturn]] void out_of_steps() const;
  [[noreturn]] void out_of_memory() const;
  [[noreturn]] void text_too_long() const;

  Limits limits_;
  uint64_t steps_left_;
  size_t live_bytes_ = 0;
};

// Memory for a temporary of known size, counted while it exists.
class Reservation {
 public:
  Reservation(Budget& budget, size_t bytes) : budget_(budget), bytes_(bytes) { budget_.allocate(bytes_); }
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  ~Reservation() { budget_.release(bytes_); }

 private:
  Budget& budget_;
  size_t bytes_;
};

}  // namespace mach::jinja
