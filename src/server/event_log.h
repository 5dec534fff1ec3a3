// The server's log: one event per line, as text ("time level event key=value key=\"two words\"") or as one JSON object.
// Thread-safe, cheap to copy.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/log.h"

namespace mach::server {

enum class LogFormat : uint8_t { kText, kJson };

struct LogField {
  std::string_view key;
  std::variant<bool, int64_t, uint64_t, double, std::string> value;
};

class EventLog {
 public:
  EventLog() = default;  // silent
  // Lines go to `write` without a line end; it must be thread-safe.
  EventLog(LogLevel least, LogFormat format, std::function<void(const std::string&)> write);
  static EventLog to_stderr(LogLevel least, LogFormat format);

  void info(std::string_view event, const std::vector<LogField>& fields) const {
    write(LogLevel::kInfo, event, fields);
  }
  void warning(std::string_view event, const std::vector<LogField>& fields) const {
    write(LogLevel::kWarning, event, fields);
  }
  void write(LogLevel level, std::string_view event, const std::vector<LogField>& fields) const;
  bool enabled(LogLevel level) const noexcept { return write_ && level >= least_; }

  // For parts that log whole lines.
  Logger logger() const;

 private:
  LogLevel least_ = LogLevel::kOff;
  LogFormat format_ = LogFormat::kText;
  std::function<void(const std::string&)> write_;
};

}  // namespace mach::server
