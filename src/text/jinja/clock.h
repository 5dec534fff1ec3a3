// The time that strftime_now() shows. Passed in, so that a rendering can be repeated: a build or a test sets
// SOURCE_DATE_EPOCH (seconds since 1970, shown in UTC; https://reproducible-builds.org/specs/source-date-epoch/).
#pragma once

#include <ctime>
#include <functional>
#include <string>
#include <string_view>

namespace mach::jinja {

using Clock = std::function<std::tm()>;

// $SOURCE_DATE_EPOCH where it is set, else the local time. Throws mach::Error{kUsage} for a malformed variable.
Clock clock_from_environment();
Clock fixed_clock(std::time_t seconds);  // UTC

// datetime.strftime of a time without zone, in the C locale. Throws Failure for a directive that is none.
std::string format_time(const std::tm& time, std::string_view format);

}  // namespace mach::jinja
