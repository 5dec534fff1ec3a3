#include "io/safetensors_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/safetensors.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;

std::vector<std::byte> counting(size_t n) {
  std::vector<std::byte> bytes(n);
  for (size_t i = 0; i < n; ++i) bytes[i] = static_cast<std::byte>(i * 7);
  return bytes;
}

const std::vector<TensorSpec> kSpecs = {
    {"weights", DType::kF32, {2, 3}},
    {"empty", DType::kF32, {0, 3}},
    {"scalar", DType::kBF16, {}},
    {"packed \"q\" \xc3\xa9", DType::kF4, {6}},
    {"nothing at the end", DType::kU8, {0}},
};

TEST(SafetensorsWriter, WhatIsWrittenInPiecesIsReadBack) {
  const TempDir dir;
  const auto path = dir.path() / "out.safetensors";
  const std::vector<std::byte> bytes = counting(29);
  SafetensorsWriter writer(path, kSpecs, {{"format", "pt"}});
  const auto all = std::span<const std::byte>(bytes);
  writer.write(all.subspan(0, 10));
  writer.write(all.subspan(10, 14));
  EXPECT_EQ(writer.current()->name, "scalar");
  writer.write(all.subspan(24, 2));
  writer.write(all.subspan(26, 3));
  EXPECT_EQ(writer.current(), nullptr);
  EXPECT_FALSE(std::filesystem::exists(path));
  writer.finish();

  const SafetensorsFile file = SafetensorsFile::open(path);
  EXPECT_EQ(file.header().metadata().at("format"), "pt");
  EXPECT_EQ(file.header().data_begin() % 8, 0U);
  size_t at = 0;
  for (const TensorSpec& spec : kSpecs) {
    const TensorInfo& info = file.at(spec.name);
    EXPECT_EQ(info.dtype, spec.dtype);
    EXPECT_EQ(info.shape, spec.shape);
    const auto data = file.data(info);
    EXPECT_TRUE(std::equal(data.begin(), data.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at)));
    at += data.size();
  }
  EXPECT_EQ(at, bytes.size());
}

TEST(SafetensorsWriter, MemoryAndFileGiveTheSameBytes) {
  const TempDir dir;
  const std::vector<std::byte> a = counting(8);
  const std::vector<std::byte> b = counting(3);
  const TensorData tensors[] = {{{"a", DType::kI64, {1}}, a}, {{"b", DType::kU8, {3}}, b}};
  write_safetensors(dir.path() / "f", tensors, {{"k", "v"}});
  const std::vector<std::byte> memory = serialize_safetensors(tensors, {{"k", "v"}});
  EXPECT_EQ(testing::read_file(dir.path() / "f"),
            std::string(reinterpret_cast<const char*>(memory.data()), memory.size()));
}

TEST(SafetensorsWriter, AFileWithoutTensorsIsValid) {
  const std::vector<std::byte> file = serialize_safetensors({});
  EXPECT_TRUE(parse_safetensors_header(file, file.size(), "x").tensors().empty());
}

TEST(SafetensorsWriter, NothingAppearsUnlessAllIsWritten) {
  const TempDir dir;
  {
    SafetensorsWriter writer(dir.path() / "f", {{"a", DType::kU8, {4}}});
    writer.write(counting(3));
    EXPECT_MACH_ERROR(writer.finish(), ErrorCode::kInternal, HasSubstr("tensor \"a\""));
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(SafetensorsWriter, RefusesBytesAcrossTensorsAndPastTheEnd) {
  const TempDir dir;
  SafetensorsWriter writer(dir.path() / "f", {{"a", DType::kU8, {4}}, {"b", DType::kU8, {4}}});
  EXPECT_MACH_ERROR(writer.write(counting(5)), ErrorCode::kInternal, HasSubstr("tensor \"a\""));
  writer.write(counting(4));
  writer.write(counting(4));
  EXPECT_MACH_ERROR(writer.write(counting(1)), ErrorCode::kInternal, HasSubstr("the file"));
}

TEST(SafetensorsWriter, RefusesDeclarationsThatNoReaderWouldAccept) {
  using Specs = std::vector<TensorSpec>;
  EXPECT_MACH_ERROR(safetensors_header_text(Specs{{"", DType::kU8, {1}}}), ErrorCode::kInternal,
                    HasSubstr("is empty"));
  EXPECT_MACH_ERROR(safetensors_header_text(Specs{{"__metadata__", DType::kU8, {1}}}), ErrorCode::kInternal,
                    HasSubstr("reserved"));
  EXPECT_MACH_ERROR(safetensors_header_text(Specs{{"a", DType::kU8, {1}}, {"a", DType::kU8, {1}}}),
                    ErrorCode::kInternal, HasSubstr("twice"));
  EXPECT_MACH_ERROR(safetensors_header_text(Specs{{"a", DType::kF4, {1}}}), ErrorCode::kInternal,
                    HasSubstr("F4 [1]"));
  EXPECT_MACH_ERROR(safetensors_header_text(Specs{{"a", DType::kUnknown, {1}}}), ErrorCode::kInternal,
                    HasSubstr("unknown"));
  const std::vector<std::byte> short_bytes = counting(3);
  const TensorData tensor[] = {{{"a", DType::kU8, {4}}, short_bytes}};
  EXPECT_MACH_ERROR(serialize_safetensors(tensor), ErrorCode::kInternal, HasSubstr("3 bytes instead of 4"));
}

}  // namespace
}  // namespace mach
