#include "io/file_reader.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/aligned_buffer.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kBlock = kDirectIoAlignment;

std::string pattern(size_t size) {
  std::string text(size, 0);
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>((i * 2654435761U) >> 13);
  return text;
}

class FileReaderTest : public ::testing::TestWithParam<ReaderKind> {
 protected:
  std::unique_ptr<FileReader> reader_of(const ReadFiles& files,
                                        std::span<const std::span<std::byte>> memory = {}) {
    return make_reader(GetParam(), files, memory);
  }
  testing::TempDir folder_;
};

#define SKIP_WITHOUT(reader) \
  if (!(reader)) GTEST_SKIP() << "this machine refuses " << reader_name(GetParam())

TEST_P(FileReaderTest, ReadsPartsToTheLastByteOfAFile) {
  const std::string text = pattern(3'000'001);  // several pieces, and a tail that is no whole block
  const ReadFiles files({folder_.write("a", pattern(10)), folder_.write("b", text)});
  AlignedBuffer memory(4 << 20, kBlock);
  const std::span<std::byte> registered = memory.bytes();
  for (const bool with_memory : {false, true}) {
    const auto reader = with_memory ? reader_of(files, std::span(&registered, 1)) : reader_of(files);
    SKIP_WITHOUT(reader);
    std::fill(memory.bytes().begin(), memory.bytes().end(), std::byte{0});
    const uint64_t first = 5 * kBlock;
    const uint64_t rest = text.size() - first;
    const std::vector<ReadPart> parts = {
        {0, memory.bytes().first(kBlock), 100},
        {first, memory.bytes().subspan(kBlock, (rest + kBlock - 1) / kBlock * kBlock), rest},
    };
    reader->read(1, parts);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(memory.data()), 100), text.substr(0, 100));
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(memory.data()) + kBlock, rest), text.substr(first));
  }
}

TEST_P(FileReaderTest, SaysWhenTheFileEndsTooSoon) {
  const ReadFiles files({folder_.write("short", pattern(9000))});
  const auto reader = reader_of(files);
  SKIP_WITHOUT(reader);
  AlignedBuffer memory(1 << 20, kBlock);
  const std::vector<ReadPart> parts = {{0, memory.bytes(), 9001}};
  EXPECT_MACH_ERROR(reader->read(0, parts), ErrorCode::kIo, HasSubstr("short ends before byte 9001"));
  const std::vector<ReadPart> behind = {{1 << 20, memory.bytes(), 1}};
  EXPECT_MACH_ERROR(reader->read(0, behind), ErrorCode::kIo, HasSubstr("ends before byte"));
  const std::vector<ReadPart> good = {{0, memory.bytes(), 9000}};  // a reader survives its failures
  reader->read(0, good);
  EXPECT_EQ(static_cast<char>(memory.data()[8999]), pattern(9000)[8999]);
}

TEST(ReadFiles, NoticesChanges) {
  const testing::TempDir folder;
  const auto path = folder.write("a", pattern(5000));
  const ReadFiles files({path});
  files.check_unchanged(0);
  std::filesystem::resize_file(path, 4000);
  EXPECT_MACH_ERROR(files.check_unchanged(0), ErrorCode::kIo, HasSubstr("from 5000 to 4000 bytes"));
  std::filesystem::resize_file(path, 5000);
  std::filesystem::last_write_time(path,
                                   std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_MACH_ERROR(files.check_unchanged(0), ErrorCode::kIo, HasSubstr("changed while it was in use"));
}

INSTANTIATE_TEST_SUITE_P(Kinds, FileReaderTest, ::testing::ValuesIn(kReaderKinds),
                         [](const auto& row) { return std::string(reader_name(row.param)); });

}  // namespace
}  // namespace mach
