#include "engine/stop_matcher.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "mach/error.h"

namespace mach {

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
  if (stops_.size() > kMaxStopStrings) {
    throw Error(ErrorCode::kInvalidRequest,
                fmt::format("stop: {} strings, at most {} are allowed", stops_.size(), kMaxStopStrings));
  }
  for (const std::string& stop : stops_) {
    if (stop.empty()) throw Error(ErrorCode::kInvalidRequest, "stop: a stop string must not be empty");
    if (stop.size() <= kMaxStopStringBytes) continue;
    throw Error(ErrorCode::kInvalidRequest, fmt::format("stop: a string of {} bytes, at most {} are allowed",
                                                        stop.size(), kMaxStopStringBytes));
  }
}

std::string StopMatcher::push(std::string_view piece) {
  if (stopped()) return {};
  if (stops_.empty()) return std::string(piece);
  held_ += piece;

  size_t begin = std::string::npos;
  size_t end = std::string::npos;
  for (const std::string& stop : stops_) {
    const size_t at = held_.find(stop);
    if (at == std::string::npos) continue;
    const size_t stop_end = at + stop.size();
    if (stop_end < end || (stop_end == end && at < begin)) {
      begin = at;
      end = stop_end;
    }
  }
  if (end != std::string::npos) {
    matched_ = held_.substr(begin, end - begin);
    std::string before = held_.substr(0, begin);
    held_.clear();
    return before;
  }

  const size_t keep = possible_prefix();
  std::string certain = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return certain;
}

std::string StopMatcher::finish() { return std::exchange(held_, {}); }

// The length of the longest tail of held_ with which some stop string begins.
size_t StopMatcher::possible_prefix() const noexcept {
  const std::string_view held = held_;
  size_t longest = 0;
  for (const std::string_view stop : stops_) {
    for (size_t n = std::min(held.size(), stop.size() - 1); n > longest; --n) {
      if (held.substr(held.size() - n) == stop.substr(0, n)) longest = n;
    }
  }
  return longest;
}

}  // namespace mach
