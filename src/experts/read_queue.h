// The reads that wait for a free lane of a bank, in order of urgency. A read can be made more urgent or be taken back;
// what it was queued as before is then passed over. Not thread-safe: the bank's lock guards it.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace mach {

enum class Urgency : uint8_t { kDemand, kNext, kGuess };

class ReadQueue {
 public:
  // `experts` of all layers together; ids are below it.
  explicit ReadQueue(uint32_t experts) : tickets_(experts, 0) {}

  void push(uint32_t expert, Urgency urgency);  // replaces an earlier push of it
  void cancel(uint32_t expert) noexcept { ++tickets_[expert]; }

  struct Read {
    uint32_t expert = 0;
    Urgency urgency = Urgency::kDemand;
  };
  // The most urgent, first come first served; guesses only where `guesses` says so.
  std::optional<Read> pop(bool guesses) noexcept;

 private:
  struct Item {
    uint32_t expert = 0;
    uint32_t ticket = 0;
  };
  std::array<std::deque<Item>, 3> waiting_;
  std::vector<uint32_t> tickets_;  // the one that is good, by expert
};

}  // namespace mach
