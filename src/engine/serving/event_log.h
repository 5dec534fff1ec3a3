// For tests: collects the events of requests, from any thread, and waits for their ends.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/serving/engine_request.h"

namespace mach::testing {

// One request's events. Thread-safe.
class EventLog {
 public:
  RequestSink sink() {
    return [this](EngineEvent event) {
      const std::lock_guard lock(mutex_);
      events_.push_back(std::move(event));
      changed_.notify_all();
    };
  }

  // False after five seconds without an end.
  bool wait_for_end() {
    return wait([this] { return end_locked() != nullptr; });
  }
  bool wait_for_pieces(size_t count) {
    return wait([&] { return count_locked<PieceEvent>() >= count; });
  }

  std::vector<EngineEvent> events() const {
    const std::lock_guard lock(mutex_);
    return events_;
  }
  template <class Event>
  std::vector<Event> of() const {
    const std::lock_guard lock(mutex_);
    std::vector<Event> found;
    for (const EngineEvent& event : events_) {
      if (const auto* e = std::get_if<Event>(&event)) found.push_back(*e);
    }
    return found;
  }
  std::optional<RequestEndEvent> end() const {
    const std::lock_guard lock(mutex_);
    const RequestEndEvent* end = end_locked();
    return end != nullptr ? std::optional(*end) : std::nullopt;
  }
  // Ids of a choice's pieces.
  std::vector<TokenId> tokens(uint32_t choice = 0) const {
    std::vector<TokenId> ids;
    for (const PieceEvent& event : of<PieceEvent>()) {
      if (event.choice == choice && event.piece.token.id >= 0) ids.push_back(event.piece.token.id);
    }
    return ids;
  }
  std::string text(uint32_t choice = 0) const {
    std::string text;
    for (const PieceEvent& event : of<PieceEvent>()) {
      if (event.choice == choice) text += event.piece.text;
    }
    return text;
  }

 private:
  template <class Condition>
  bool wait(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(5), condition);
  }
  const RequestEndEvent* end_locked() const {
    return events_.empty() ? nullptr : std::get_if<RequestEndEvent>(&events_.back());
  }
  template <class Event>
  size_t count_locked() const {
    size_t count = 0;
    for (const EngineEvent& event : events_) count += std::holds_alternative<Event>(event) ? 1 : 0;
    return count;
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<EngineEvent> events_;
};

}  // namespace mach::testing
