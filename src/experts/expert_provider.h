// Where the routed experts of a model come from. A graph asks for the experts that one layer needs now and
// gets a lease; while the lease lives their weights stay where they are. Whether they are mapped, resident or
// streamed from disk through a bounded bank is the provider's business, and no graph can tell the difference.
// Thread rule: one engine thread calls acquire(); a lease may be released on any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "experts/expert_counters.h"
#include "quant/weight.h"

namespace mach {

// What a pass is: one or a few tokens of running sequences, which repeat their experts, or a stretch of a prompt, which
// goes through most experts once and must not push the others' out.
enum class ExpertUse : uint8_t { kDecode, kPrefill };

// How sure a prefetch is.
enum class PrefetchHint : uint8_t {
  kNext,   // acquire() of the same layer follows, in this order
  kGuess,  // a prediction, worth idle time of the disk only
};

// gate and up are [intermediate, hidden], down is [hidden, intermediate]. Biases are fp32 of the output size,
// or null.
struct ExpertWeights {
  WeightMatrix gate;
  WeightMatrix up;
  WeightMatrix down;
  const float* gate_bias = nullptr;
  const float* up_bias = nullptr;
  const float* down_bias = nullptr;
};

// Movable, releases on destruction. Order as asked for in acquire().
class ExpertLease {
 public:
  class Pin {  // what a provider must keep alive; its destructor gives the experts back
   public:
    Pin() = default;
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;
    virtual ~Pin() = default;
  };

  ExpertLease() = default;
  ExpertLease(std::vector<ExpertWeights> experts, std::unique_ptr<Pin> pin)
      : experts_(std::move(experts)), pin_(std::move(pin)) {}

  size_t size() const noexcept { return experts_.size(); }
  const ExpertWeights& operator[](size_t i) const noexcept { return experts_[i]; }

 private:
  std::vector<ExpertWeights> experts_;
  std::unique_ptr<Pin> pin_;
};

class ExpertProvider {
 public:
  virtual ~ExpertProvider() = default;

  // `experts` are distinct ids below the layer's expert count, at most max_lease(layer) of them. Waits until
  // all are in memory. Throws Error{kIo, kCorruptFile} naming layer and expert.
  virtual ExpertLease acquire(uint32_t layer, std::span<const uint32_t> experts, ExpertUse use) = 0;
  ExpertLease acquire(uint32_t layer, std::span<const uint32_t> experts) {
    return acquire(layer, experts, ExpertUse::kDecode);
  }

  // How many experts of a layer one lease may hold; a graph that needs more works in waves of this size.
  virtual uint32_t max_lease(uint32_t layer) const noexcept = 0;

  // These experts of `layer` will be acquired next, or are likely to be. Never blocks.
  virtual void prefetch(uint32_t layer, std::span<const uint32_t> experts, PrefetchHint hint) noexcept = 0;

  // Is it worth predicting the next layer's experts? (A prediction costs a product with the router.)
  virtual bool wants_guesses() const noexcept { return false; }

  // Any thread may ask.
  virtual ExpertStatus status() const { return {}; }
};

}  // namespace mach
