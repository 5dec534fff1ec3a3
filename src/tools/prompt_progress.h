// Shows how far a long prompt is, on one line of the terminal that disappears when the prompt is done. Silent where
// stderr is not a terminal, and for prompts of one pass.
#pragma once

#include <cstdint>
#include <cstdio>

#include <unistd.h>

namespace mach::tools {

class PromptProgress {
 public:
  PromptProgress() : terminal_(isatty(STDERR_FILENO) == 1) {}
  PromptProgress(const PromptProgress&) = delete;
  PromptProgress& operator=(const PromptProgress&) = delete;
  ~PromptProgress() { clear(); }

  void show(uint32_t done, uint32_t total) {
    if (!terminal_ || done == 0) return;
    if (done == total) return clear();
    std::fprintf(stderr, "\rprompt: %u of %u tokens", done, total);
    std::fflush(stderr);
    shown_ = true;
  }

 private:
  void clear() {
    if (shown_) std::fputs("\r\033[K", stderr);
    shown_ = false;
  }

  const bool terminal_;
  bool shown_ = false;
};

}  // namespace mach::tools
