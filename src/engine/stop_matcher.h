// Finds where generated text has to end. Stop strings may begin in one piece and end in another, so the
// longest tail that could still become one is held back; all other text is let through at once. The text
// before a stop string is emitted, the stop string and what follows it are not. The result does not depend on
// how the text was cut into pieces: the stop string that is complete first ends it (the longest, if several
// end at the same byte).
//
// Single owner. push() costs O(piece * stop strings).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mach {

inline constexpr size_t kMaxStopStrings = 64;
inline constexpr size_t kMaxStopStringBytes = 1024;

class StopMatcher {
 public:
  StopMatcher() = default;
  // Throws Error{kInvalidRequest} naming `stop` for an empty or over-long string, or too many.
  explicit StopMatcher(std::vector<std::string> stops);

  // The text that is now certain to belong to the output. Nothing once stopped() is true.
  std::string push(std::string_view piece);

  // Generation ended for another reason: the text held back is output after all.
  std::string finish();

  bool stopped() const noexcept { return matched_.has_value(); }
  const std::optional<std::string>& matched() const noexcept { return matched_; }

 private:
  size_t possible_prefix() const noexcept;

  std::vector<std::string> stops_;
  std::string held_;  // a proper prefix of at least one stop string
  std::optional<std::string> matched_;
};

}  // namespace mach
