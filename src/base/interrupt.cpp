#include "base/interrupt.h"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "mach/error.h"

namespace mach {
namespace {

// A signal handler has no context to be handed, so these are the variables of the process.
std::atomic<int> received_signal{0};
std::atomic<int> wake_fd{-1};
std::atomic<bool> guard_exists{false};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

extern "C" void on_signal(int number) {
  const int error = errno;
  received_signal.store(number, std::memory_order_relaxed);
  const uint64_t one = 1;
  if (const int fd = wake_fd.load(std::memory_order_relaxed); fd >= 0) {
    [[maybe_unused]] const ssize_t written = ::write(fd, &one, sizeof one);
  }
  errno = error;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  if (guard_exists.exchange(true)) throw Error(ErrorCode::kInternal, "a second InterruptGuard was made");
  received_signal.store(0, std::memory_order_relaxed);
  wake_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  wake_fd.store(wake_.get(), std::memory_order_relaxed);
  struct sigaction action {};
  action.sa_handler = on_signal;
  // RESETHAND gives the second signal its old meaning, so that a stuck loop can still be ended.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &old_int_);
  ::sigaction(SIGTERM, &action, &old_term_);
}

InterruptGuard::~InterruptGuard() {
  ::sigaction(SIGINT, &old_int_, nullptr);
  ::sigaction(SIGTERM, &old_term_, nullptr);
  wake_fd.store(-1, std::memory_order_relaxed);
  guard_exists.store(false);
}

bool InterruptGuard::requested() noexcept { return received_signal.load(std::memory_order_relaxed) != 0; }

int InterruptGuard::signal_number() noexcept { return received_signal.load(std::memory_order_relaxed); }

void InterruptGuard::wait() const {
  // Without a descriptor (there were none left) looking now and then will do.
  const int patience = wake_.valid() ? -1 : 100;
  pollfd wake = {wake_.get(), POLLIN, 0};
  while (!requested()) ::poll(&wake, 1, patience);
}

void InterruptGuard::check(const char* what) {
  if (requested()) throw Error(ErrorCode::kCancelled, std::string(what) + " was interrupted");
}

}  // namespace mach
