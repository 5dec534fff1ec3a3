// Ctrl-C and SIGTERM for command-line tools: while an InterruptGuard lives, the first signal only sets a flag
// that long loops ask for; a second one ends the process as if there were no guard. One guard at a time, made
// in main(). requested() is safe from any thread. Reads that the signal interrupts are retried by their
// callers.
#pragma once

#include <signal.h>

#include "base/fd.h"

namespace mach {

class InterruptGuard {
 public:
  InterruptGuard();  // throws kInternal where a guard exists already
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  ~InterruptGuard();

  static bool requested() noexcept;
  static int signal_number() noexcept;  // SIGINT or SIGTERM once requested, else 0
  // Sleeps until a signal has come; costs nothing meanwhile.
  void wait() const;
  // Throws Error{kCancelled} naming `what` once a signal has come.
  static void check(const char* what);

 private:
  Fd wake_;  // an eventfd that the signal handler writes to
  struct sigaction old_int_ {};
  struct sigaction old_term_ {};
};

}  // namespace mach
