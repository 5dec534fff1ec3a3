#include "tools/progress_line.h"

#include <iostream>

#include <fmt/format.h>
#include <unistd.h>

#include "tools/text_table.h"

namespace mach::tools {
namespace {

constexpr auto kRedraw = std::chrono::milliseconds(100);

}  // namespace

ProgressLine::ProgressLine() : terminal_(::isatty(STDERR_FILENO) == 1) {}

void ProgressLine::show_bytes(uint64_t done, uint64_t total) {
  const auto now = Clock::now();
  if (!terminal_ || now - drawn_at_ < kRedraw) return;
  drawn_at_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  const auto left = rate > 0 ? static_cast<uint64_t>(static_cast<double>(total - done) / rate) : 0;
  const double share = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1.0;
  show(fmt::format("{:3.0f} %  {} of {}  {}/s  {:02}:{:02} left", 100 * share, shown_bytes(done),
                   shown_bytes(total), shown_bytes(static_cast<uint64_t>(rate)), left / 60, left % 60));
}

void ProgressLine::show(const std::string& text) {
  if (!terminal_) return;
  std::cerr << "\r\033[K" << text << std::flush;
  drawn_ = true;
}

void ProgressLine::clear() {
  if (drawn_) std::cerr << "\r\033[K" << std::flush;
  drawn_ = false;
}

}  // namespace mach::tools
