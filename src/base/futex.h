// Waiting for a 32-bit word to change, without a lock: two Linux system calls. Spurious returns happen;
// callers loop.
#pragma once

#include <atomic>
#include <cstdint>

namespace mach {

// Sleeps while word == expected, until a wake.
void futex_wait(std::atomic<uint32_t>& word, uint32_t expected) noexcept;
void futex_wake_all(std::atomic<uint32_t>& word) noexcept;

// Tells the core that this is a spinning loop.
inline void spin_pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory");  // "yield" is a no-op on most cores
#endif
}

}  // namespace mach
