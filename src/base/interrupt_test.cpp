#include "base/interrupt.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "support/expect_error.h"

namespace mach {
namespace {

TEST(InterruptGuard, TurnsTheFirstSignalIntoAFlag) {
  const InterruptGuard guard;
  EXPECT_FALSE(InterruptGuard::requested());
  InterruptGuard::check("the conversion");
  ASSERT_EQ(std::raise(SIGINT), 0);
  EXPECT_TRUE(InterruptGuard::requested());
  EXPECT_EQ(InterruptGuard::signal_number(), SIGINT);
  EXPECT_MACH_ERROR(InterruptGuard::check("the conversion"), ErrorCode::kCancelled,
                    ::testing::HasSubstr("the conversion"));
}

TEST(InterruptGuard, WaitsForASignalOfAnyThread) {
  const InterruptGuard guard;
  std::thread other([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ::kill(::getpid(), SIGTERM);
  });
  guard.wait();
  EXPECT_EQ(InterruptGuard::signal_number(), SIGTERM);
  guard.wait();  // it has come already
  other.join();
}

TEST(InterruptGuard, StartsAfreshAndPutsOldHandlersBack) {
  std::signal(SIGTERM, SIG_IGN);
  {
    const InterruptGuard guard;
    EXPECT_FALSE(InterruptGuard::requested());
    ASSERT_EQ(std::raise(SIGTERM), 0);
    EXPECT_EQ(InterruptGuard::signal_number(), SIGTERM);
  }
  EXPECT_EQ(std::signal(SIGTERM, SIG_DFL), SIG_IGN);
}

TEST(InterruptGuard, ThereIsOnlyOne) {
  const InterruptGuard guard;
  EXPECT_MACH_ERROR(InterruptGuard(), ErrorCode::kInternal, ::testing::HasSubstr("second"));
}

TEST(InterruptGuardDeathTest, TheSecondSignalEndsTheProcess) {
  EXPECT_EXIT(
      {
        const InterruptGuard guard;
        std::raise(SIGINT);
        std::raise(SIGINT);
        std::exit(0);
      },
      ::testing::KilledBySignal(SIGINT), "");
}

}  // namespace
}  // namespace mach
