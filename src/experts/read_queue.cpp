#include "experts/read_queue.h"

namespace mach {

void ReadQueue::push(uint32_t expert, Urgency urgency) {
  waiting_[static_cast<size_t>(urgency)].push_back({expert, ++tickets_[expert]});
}

std::optional<ReadQueue::Read> ReadQueue::pop(bool guesses) noexcept {
  for (const Urgency urgency : {Urgency::kDemand, Urgency::kNext, Urgency::kGuess}) {
    if (urgency == Urgency::kGuess && !guesses) return std::nullopt;
    auto& queue = waiting_[static_cast<size_t>(urgency)];
    while (!queue.empty()) {
      const Item item = queue.front();
      queue.pop_front();
      if (tickets_[item.expert] != item.ticket) continue;
      ++tickets_[item.expert];
      return Read{item.expert, urgency};
    }
  }
  return std::nullopt;
}

}  // namespace mach
