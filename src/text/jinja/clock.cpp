#include "text/jinja/clock.h"

#include <array>
#include <charconv>
#include <cstdlib>

#include <fmt/format.h>

#include "text/jinja/failure.h"

namespace mach::jinja {
namespace {

// C99 and glibc directives that do not depend on the zone; Python hands them to strftime too.
constexpr std::string_view kDirectives = "aAbBcCdDeFgGhHIjklmMnpPrRStTuUVwWxXyY%";
constexpr std::string_view kFlags = "-_0^#";

std::time_t parse_epoch(const char* text) {
  long long seconds = 0;
  const std::string_view view(text);
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), seconds);
  // Year 9999 at most, as in Python.
  if (error != std::errc() || end != view.data() + view.size() || seconds < 0 || seconds > 253402300799LL) {
    throw Error(ErrorCode::kUsage,
                fmt::format("SOURCE_DATE_EPOCH must be seconds since 1970, not '{}'", view));
  }
  return static_cast<std::time_t>(seconds);
}

}  // namespace

Clock fixed_clock(std::time_t seconds) {
  std::tm time{};
  gmtime_r(&seconds, &time);
  return [time] { return time; };
}

Clock clock_from_environment() {
  if (const char* epoch = std::getenv("SOURCE_DATE_EPOCH")) return fixed_clock(parse_epoch(epoch));
  return [] {
    const std::time_t seconds = std::time(nullptr);
    std::tm time{};
    localtime_r(&seconds, &time);
    return time;
  };
}

std::string format_time(const std::tm& time, std::string_view format) {
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    std::string directive = "%";
    size_t at = i + 1;
    if (at < format.size() && kFlags.find(format[at]) != std::string_view::npos) directive += format[at++];
    const char letter = at < format.size() ? format[at] : '\0';
    i = at;
    if (letter == 'f') {
      out += "000000";  // the clock counts whole seconds
    } else if (letter == 'z' || letter == 'Z') {
      continue;  // empty for a time without zone
    } else if (letter != '\0' && kDirectives.find(letter) != std::string_view::npos) {
      directive += letter;
      std::array<char, 128> buffer{};
      out.append(buffer.data(), std::strftime(buffer.data(), buffer.size(), directive.c_str(), &time));
    } else {
      fail(fmt::format("strftime_now: '{}' is not a time format that this engine knows", format));
    }
  }
  return out;
}

}  // namespace mach::jinja
