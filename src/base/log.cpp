#include "base/log.h"

#include <array>
#include <mutex>
#include <utility>

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>

namespace mach {
namespace {

struct LevelRow {
  LogLevel level;
  std::string_view name;
  spdlog::level::level_enum spdlog_level;
};

// In enum order.
constexpr std::array kLevels = {
    LevelRow{LogLevel::kTrace, "trace", spdlog::level::trace},
    LevelRow{LogLevel::kDebug, "debug", spdlog::level::debug},
    LevelRow{LogLevel::kInfo, "info", spdlog::level::info},
    LevelRow{LogLevel::kWarning, "warning", spdlog::level::warn},
    LevelRow{LogLevel::kError, "error", spdlog::level::err},
    LevelRow{LogLevel::kOff, "off", spdlog::level::off},
};

constexpr spdlog::level::level_enum to_spdlog(LogLevel level) noexcept {
  return kLevels[static_cast<size_t>(level)].spdlog_level;
}

LogLevel from_spdlog(spdlog::level::level_enum level) noexcept {
  for (const LevelRow& row : kLevels) {
    if (row.spdlog_level == level) return row.level;
  }
  return LogLevel::kError;  // spdlog's "critical", which mach does not use
}

class FunctionSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FunctionSink(Logger::Sink function) : sink_(std::move(function)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    sink_(from_spdlog(message.level), {message.payload.data(), message.payload.size()});
  }
  void flush_() override {}

  Logger::Sink sink_;
};

std::shared_ptr<spdlog::logger> make_logger(LogLevel least, spdlog::sink_ptr sink) {
  auto logger = std::make_shared<spdlog::logger>("mach", std::move(sink));
  logger->set_level(to_spdlog(least));
  logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
  return logger;
}

}  // namespace

std::optional<LogLevel> parse_log_level(std::string_view name) noexcept {
  for (const LevelRow& row : kLevels) {
    if (row.name == name) return row.level;
  }
  return std::nullopt;
}

std::string_view to_string(LogLevel level) noexcept { return kLevels[static_cast<size_t>(level)].name; }

Logger::Logger() noexcept = default;
Logger::Logger(const Logger&) noexcept = default;
Logger::Logger(Logger&&) noexcept = default;
Logger& Logger::operator=(const Logger&) noexcept = default;
Logger& Logger::operator=(Logger&&) noexcept = default;
Logger::~Logger() = default;
Logger::Logger(std::shared_ptr<spdlog::logger> logger) noexcept : logger_(std::move(logger)) {}

Logger Logger::to_stderr(LogLevel least) {
  return Logger(make_logger(least, std::make_shared<spdlog::sinks::stderr_color_sink_mt>()));
}

Logger Logger::to_function(LogLevel least, Sink sink) {
  return Logger(make_logger(least, std::make_shared<FunctionSink>(std::move(sink))));
}

bool Logger::enabled(LogLevel level) const noexcept {
  return logger_ && logger_->should_log(to_spdlog(level));
}

void Logger::write(LogLevel level, std::string_view line) const {
  if (logger_) logger_->log(to_spdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace mach
