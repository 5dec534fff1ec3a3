#include "base/new_folder.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

using ::mach::testing::TempDir;
using ::testing::HasSubstr;

TEST(NewFolder, AppearsWithItsFilesOnCommit) {
  const TempDir dir;
  const auto path = dir.path() / "deep" / "out";
  {
    NewFolder folder(path);
    std::ofstream(folder.partial() / "a") << "x";
    EXPECT_FALSE(std::filesystem::exists(path));
    folder.commit();
  }
  EXPECT_TRUE(std::filesystem::exists(path / "a"));
  EXPECT_FALSE(std::filesystem::exists(path.string() + ".partial"));
}

TEST(NewFolder, LeavesNothingWithoutCommit) {
  const TempDir dir;
  { std::ofstream(NewFolder(dir.path() / "out").partial() / "a") << "x"; }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(NewFolder, BeginsAfreshWhereAKilledRunLeftAPartialFolder) {
  const TempDir dir;
  std::filesystem::create_directory(dir.path() / "out.partial");
  std::ofstream(dir.path() / "out.partial" / "old") << "x";
  NewFolder folder(dir.path() / "out");
  EXPECT_TRUE(std::filesystem::is_empty(folder.partial()));
  folder.commit();
  EXPECT_TRUE(std::filesystem::is_empty(dir.path() / "out"));
}

TEST(NewFolder, RefusesAFolderWithContents) {
  const TempDir dir;
  std::ofstream(dir.path() / "a") << "x";
  EXPECT_MACH_ERROR(NewFolder(dir.path()), ErrorCode::kInvalidRequest, HasSubstr("exists already"));
}

}  // namespace
}  // namespace mach
