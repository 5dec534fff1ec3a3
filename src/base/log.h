// The log of one program, passed to whoever may write to it; there is no default logger to reach for. A
// Logger is a cheap handle: copies write to the same place. Thread-safe. A default-constructed Logger drops
// everything, which is what tests use unless they look at the lines.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/core.h>

namespace spdlog {
class logger;
}

namespace mach {

enum class LogLevel : uint8_t { kTrace, kDebug, kInfo, kWarning, kError, kOff };

// "trace", "debug", "info", "warning", "error", "off"; empty for anything else.
std::optional<LogLevel> parse_log_level(std::string_view name) noexcept;
std::string_view to_string(LogLevel level) noexcept;

class Logger {
 public:
  using Sink = std::function<void(LogLevel, std::string_view line)>;

  Logger() noexcept;                        // silent
  static Logger to_stderr(LogLevel least);  // time, level, text
  static Logger to_function(LogLevel least,
                            Sink sink);  // the sink is called under a lock, one line at a time

  Logger(const Logger&) noexcept;
  Logger(Logger&&) noexcept;
  Logger& operator=(const Logger&) noexcept;
  Logger& operator=(Logger&&) noexcept;
  ~Logger();

  bool enabled(LogLevel level) const noexcept;
  void write(LogLevel level, std::string_view line) const;

  template <class... Args>
  void debug(fmt::format_string<Args...> format, Args&&... args) const {
    formatted(LogLevel::kDebug, format, std::forward<Args>(args)...);
  }
  template <class... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) const {
    formatted(LogLevel::kInfo, format, std::forward<Args>(args)...);
  }
  template <class... Args>
  void warning(fmt::format_string<Args...> format, Args&&... args) const {
    formatted(LogLevel::kWarning, format, std::forward<Args>(args)...);
  }
  template <class... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) const {
    formatted(LogLevel::kError, format, std::forward<Args>(args)...);
  }

 private:
  explicit Logger(std::shared_ptr<spdlog::logger> logger) noexcept;

  template <class... Args>
  void formatted(LogLevel level, fmt::format_string<Args...> format, Args&&... args) const {
    if (enabled(level)) write(level, fmt::format(format, std::forward<Args>(args)...));
  }

  std::shared_ptr<spdlog::logger> logger_;  // null: silent
};

}  // namespace mach
