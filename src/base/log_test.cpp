#include "base/log.h"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mach {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

using Lines = std::vector<std::pair<LogLevel, std::string>>;

Logger logger_into(Lines& lines, LogLevel least) {
  return Logger::to_function(
      least, [&lines](LogLevel level, std::string_view line) { lines.emplace_back(level, line); });
}

TEST(Logger, PassesOnLinesFromItsLevelUp) {
  Lines lines;
  const Logger log = logger_into(lines, LogLevel::kInfo);
  log.debug("not {}", 1);
  log.info("expert {} of layer {}", 7, 3);
  log.error("bad");
  EXPECT_THAT(lines,
              ElementsAre(Pair(LogLevel::kInfo, "expert 7 of layer 3"), Pair(LogLevel::kError, "bad")));
  EXPECT_FALSE(log.enabled(LogLevel::kDebug));
}

TEST(Logger, TextOfOthersIsNotAFormat) {
  Lines lines;
  const Logger log = logger_into(lines, LogLevel::kWarning);
  log.write(LogLevel::kWarning, "100 % {} {x}");
  EXPECT_THAT(lines, ElementsAre(Pair(LogLevel::kWarning, "100 % {} {x}")));
}

TEST(Logger, IsSilentByDefaultAndWhenOff) {
  Lines lines;
  const Logger off = logger_into(lines, LogLevel::kOff);
  off.error("dropped");
  EXPECT_TRUE(lines.empty());
  const Logger none;
  none.error("dropped");
  EXPECT_FALSE(none.enabled(LogLevel::kError));
}

TEST(Logger, WritesToStandardError) {
  ::testing::internal::CaptureStderr();
  const Logger log = Logger::to_stderr(LogLevel::kInfo);
  log.warning("disk is {}", "slow");
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, HasSubstr("warning disk is slow\n"));
}

TEST(LogLevel, NamesComeBack) {
  for (const LogLevel level : {LogLevel::kTrace, LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning,
                               LogLevel::kError, LogLevel::kOff}) {
    EXPECT_EQ(parse_log_level(to_string(level)), level);
  }
  EXPECT_EQ(parse_log_level("loud"), std::nullopt);
}

}  // namespace
}  // namespace mach
