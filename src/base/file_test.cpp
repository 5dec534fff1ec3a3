#include "base/file.h"

#include <array>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/mapped_file.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::read_file;
using testing::TempDir;

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

size_t entries_in(const std::filesystem::path& folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST(Fd, ClosesOnceAndMovesOwnership) {
  const TempDir dir;
  const auto path = dir.write("a", "x");
  Fd first = open_file(path, O_RDONLY);
  const int number = first.get();
  Fd second = std::move(first);
  EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move): the moved-from state is what is tested
  EXPECT_EQ(second.get(), number);
  EXPECT_TRUE(is_open(number));
  second = open_file(path, O_RDONLY);
  EXPECT_FALSE(is_open(number));
  const int other = second.get();
  second.reset();
  EXPECT_FALSE(is_open(other));
}

TEST(Fd, ReadExactlyReadsAtAnOffsetAndRefusesAShortFile) {
  const TempDir dir;
  const auto path = dir.write("a", "0123456789");
  const Fd fd = open_file(path, O_RDONLY);
  EXPECT_EQ(file_size(fd, path), 10U);
  std::array<std::byte, 4> out{};
  read_exactly(fd, 3, out, path);
  EXPECT_EQ(text_of(out), "3456");
  EXPECT_MACH_ERROR(read_exactly(fd, 8, out, path), ErrorCode::kIo,
                    AllOf(HasSubstr(path.string()), HasSubstr("ends at byte 10")));
}

TEST(Fd, AFolderHasNoFileSize) {
  const TempDir dir;
  const Fd fd = open_file(dir.path(), O_RDONLY);
  EXPECT_MACH_ERROR(file_size(fd, dir.path()), ErrorCode::kIo, HasSubstr("not a regular file"));
}

TEST(ReadTextFile, NamesAMissingFileAndAFileOverTheLimit) {
  const TempDir dir;
  EXPECT_MACH_ERROR(read_text_file(dir.path() / "absent", 10), ErrorCode::kNotFound, HasSubstr("absent"));
  const auto path = dir.write("big", "0123456789");
  EXPECT_EQ(read_text_file(path, 10), "0123456789");
  EXPECT_MACH_ERROR(read_text_file(path, 9), ErrorCode::kTooLarge,
                    AllOf(HasSubstr(path.string()), HasSubstr("10 bytes"), HasSubstr("at most 9")));
}

TEST(AtomicFile, AppearsOnlyWithCommit) {
  const TempDir dir;
  const auto path = dir.path() / "out";
  {
    AtomicFile file(path);
    file.write("hello");
    EXPECT_FALSE(std::filesystem::exists(path));
    file.commit();
  }
  EXPECT_EQ(read_file(path), "hello");
  EXPECT_EQ(entries_in(dir.path()), 1U);
}

TEST(AtomicFile, WithoutCommitLeavesTheOldFileAndNothingElse) {
  const TempDir dir;
  const auto path = dir.write("out", "old");
  {
    AtomicFile file(path);
    file.write("new and longer");
  }
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(entries_in(dir.path()), 1U);
}

TEST(AtomicFile, OverwritesWhatWasWritten) {
  const TempDir dir;
  AtomicFile file(dir.path() / "out");
  file.write("????body");
  file.write_at(0, std::as_bytes(std::span("head", 4)));
  file.write(" end");
  file.commit();
  EXPECT_EQ(read_file(dir.path() / "out"), "headbody end");
}

TEST(AtomicFile, WritersOfOneNameDoNotMixTheirBytes) {
  const TempDir dir;
  const auto path = dir.path() / "out";
  std::vector<std::thread> writers;
  for (char c = 'a'; c < 'e'; ++c) {
    writers.emplace_back([&path, c] { write_file_atomically(path, std::string(100'000, c)); });
  }
  for (std::thread& writer : writers) writer.join();
  const std::string content = read_file(path);
  ASSERT_EQ(content.size(), 100'000U);
  EXPECT_EQ(content.find_first_not_of(content[0]), std::string::npos);
  EXPECT_EQ(entries_in(dir.path()), 1U);
}

TEST(AtomicFile, HonoursTheUmaskLikeAnyNewFile) {
  const TempDir dir;
  const mode_t old = ::umask(022);
  write_file_atomically(dir.path() / "out", "x");
  ::umask(old);
  struct stat info {};
  ASSERT_EQ(::stat((dir.path() / "out").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0644U);
}

TEST(AtomicFile, NamesTheFolderThatIsMissing) {
  const TempDir dir;
  EXPECT_MACH_ERROR(write_file_atomically(dir.path() / "no" / "out", "x"), ErrorCode::kNotFound,
                    HasSubstr("no/out"));
}

TEST(MappedFile, MapsTheWholeFileAndSurvivesItsReplacement) {
  const TempDir dir;
  const auto path = dir.write("data", "first content");
  const MappedFile file = MappedFile::open(path);
  EXPECT_EQ(text_of(file.bytes()), "first content");
  write_file_atomically(path, "x");
  EXPECT_EQ(text_of(file.bytes()), "first content");
}

TEST(MappedFile, AnEmptyFileIsAnEmptySpan) {
  const TempDir dir;
  EXPECT_TRUE(MappedFile::open(dir.write("empty", "")).bytes().empty());
}

TEST(MappedFile, KeepsItsBytesWhenMovedAndAdvised) {
  const TempDir dir;
  MappedFile file = MappedFile::open(dir.write("data", std::string(20'000, 'q')));
  MappedFile other;
  other = std::move(file);
  for (const Access access :
       {Access::kSequential, Access::kRandom, Access::kWillNeed, Access::kDontNeed, Access::kNormal}) {
    other.advise(access);
    other.advise(access, other.bytes().subspan(5000, 7000));
  }
  EXPECT_EQ(text_of(other.bytes()), std::string(20'000, 'q'));
}

TEST(MappedFile, NamesAMissingFile) {
  EXPECT_MACH_ERROR(MappedFile::open("/nonexistent/x"), ErrorCode::kNotFound, HasSubstr("/nonexistent/x"));
}

}  // namespace
}  // namespace mach
