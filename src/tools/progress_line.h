// How far a long piece of work is: one line on a terminal, rewritten as it goes on and cleared at the end; silent where stderr
// is no terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace mach::tools {

class ProgressLine {
 public:
  ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() { clear(); }

  // Share, amounts, rate and time left; redrawn at most ten times a second.
  void show_bytes(uint64_t done, uint64_t total);
  void show(const std::string& text);
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  const bool terminal_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point drawn_at_{};
  bool drawn_ = false;
};

}  // namespace mach::tools
