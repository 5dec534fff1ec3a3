#include "mach/error.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace mach {
namespace {

TEST(ErrorRows, EveryCodeHasARowWithDistinctNameAndExitCode) {
  std::set<std::string_view> names;
  std::set<int> exit_codes;
  for (const ErrorRow& row : error_rows()) {
    EXPECT_EQ(error_row(row.code).name, row.name);
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_TRUE(exit_codes.insert(row.exit_code).second) << row.name;
    EXPECT_TRUE(row.http_status >= 400 && row.http_status < 600) << row.name;
    EXPECT_TRUE(row.exit_code > 0 && row.exit_code < 256) << row.name;
  }
}

// The helper that most tests rest on must be able to fail.
TEST(ExpectError, NoticesNoErrorAWrongCodeAndAWrongText) {
  using ::testing::HasSubstr;
  const auto fail = [] { throw Error(ErrorCode::kIo, "disk"); };
  EXPECT_MACH_ERROR(fail(), ErrorCode::kIo, HasSubstr("disk"));
  EXPECT_NONFATAL_FAILURE(EXPECT_MACH_ERROR(static_cast<void>(0), ErrorCode::kIo, HasSubstr("disk")),
                          "no mach::Error");
  EXPECT_NONFATAL_FAILURE(EXPECT_MACH_ERROR(fail(), ErrorCode::kNotFound, HasSubstr("disk")), "not_found");
  EXPECT_NONFATAL_FAILURE(EXPECT_MACH_ERROR(fail(), ErrorCode::kIo, HasSubstr("tape")), "tape");
}

}  // namespace
}  // namespace mach
