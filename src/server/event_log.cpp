#include "server/event_log.h"

#include <chrono>
#include <cstdio>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace mach::server {
namespace {

std::string now_utc() {
  const auto now = std::chrono::system_clock::now();
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(now)),
                     ms);
}

std::string dump(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

// Bare where nothing in it could be taken for something else.
std::string text_value(const std::string& text) {
  constexpr std::string_view kSafe =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.,:/+@%*[]()";
  if (!text.empty() && text.find_first_not_of(kSafe) == std::string::npos) return text;
  return dump(text);
}

struct TextOf {
  std::string operator()(bool value) const { return value ? "1" : "0"; }
  std::string operator()(int64_t value) const { return std::to_string(value); }
  std::string operator()(uint64_t value) const { return std::to_string(value); }
  std::string operator()(double value) const { return fmt::format("{:.3f}", value); }
  std::string operator()(const std::string& value) const { return text_value(value); }
};

}  // namespace

EventLog::EventLog(LogLevel least, LogFormat format, std::function<void(const std::string&)> write)
    : least_(least), format_(format), write_(std::move(write)) {}

EventLog EventLog::to_stderr(LogLevel least, LogFormat format) {
  return {least, format, [](const std::string& line) {
            const std::string whole = line + "\n";  // one write, so lines of threads do not mix
            std::fwrite(whole.data(), 1, whole.size(), stderr);
          }};
}

void EventLog::write(LogLevel level, std::string_view event, const std::vector<LogField>& fields) const {
  if (!enabled(level)) return;
  if (format_ == LogFormat::kJson) {
    nlohmann::ordered_json line = {{"time", now_utc()}, {"level", to_string(level)}, {"event", event}};
    for (const LogField& field : fields) {
      std::visit([&](const auto& value) { line[std::string(field.key)] = value; }, field.value);
    }
    return write_(dump(line));
  }
  std::string line = fmt::format("{} {} {}", now_utc(), to_string(level), event);
  for (const LogField& field : fields) {
    line += fmt::format(" {}={}", field.key, std::visit(TextOf(), field.value));
  }
  write_(line);
}

Logger EventLog::logger() const {
  if (!write_) return {};
  return Logger::to_function(least_, [log = *this](LogLevel level, std::string_view line) {
    log.write(level, "message", {{"text", std::string(line)}});
  });
}

}  // namespace mach::server
