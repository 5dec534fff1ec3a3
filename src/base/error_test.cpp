#include "mach/error.h"

#include <set>

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace mach
