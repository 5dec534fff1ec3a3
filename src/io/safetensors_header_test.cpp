#include "io/safetensors_header.h"

#include <cstring>
#include <limits>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/safetensors.h"
#include "support/expect_error.h"
#include "support/shared_dir.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string length_prefix(uint64_t n) {
  std::string text(8, '\0');
  std::memcpy(text.data(), &n, 8);
  return text;
}

// A file with this header and `data_bytes` zeros behind it.
std::string file_of(const std::string& header, size_t data_bytes) {
  return length_prefix(header.size()) + header + std::string(data_bytes, '\0');
}

SafetensorsHeader parse(const std::string& file, HolePolicy holes = HolePolicy::kRefuse) {
  return parse_safetensors_header(bytes_of(file), file.size(), "x.safetensors", holes);
}

// One member of a header.
std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets +
         "}";
}

#define EXPECT_REFUSED(file, ...) \
  EXPECT_MACH_ERROR(parse(file), ErrorCode::kCorruptFile, AllOf(HasSubstr("x.safetensors"), __VA_ARGS__))

TEST(SafetensorsHeader, ReadsTheSmallestFileByteForByte) {
  std::string file = file_of("{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}      ", 0);
  file += std::string("\x00\x00\x80\x3f\x00\x00\x00\xc0", 8);
  ASSERT_EQ(file.size(), 76U);
  const SafetensorsHeader header = parse(file);
  ASSERT_EQ(header.tensors().size(), 1U);
  const TensorInfo& t = header.tensors()[0];
  EXPECT_EQ(t.name, "t");
  EXPECT_EQ(t.dtype, DType::kF32);
  EXPECT_EQ(t.shape, (Shape{2}));
  EXPECT_EQ(t.offset, 68U);
  EXPECT_EQ(t.size, 8U);
  EXPECT_EQ(header.find("t"), &t);
  EXPECT_EQ(header.find("u"), nullptr);
  EXPECT_EQ(header.data_begin(), 68U);
}

TEST(SafetensorsHeader, NeedsOnlyTheHeadersBytes) {
  const std::string file = file_of("{" + tensor("t", "U8", "[1000000]", "[0,1000000]") + "}", 0);
  const SafetensorsHeader header =
      parse_safetensors_header(bytes_of(file), file.size() + 1'000'000, "x", HolePolicy::kRefuse);
  EXPECT_EQ(header.tensors()[0].size, 1'000'000U);
  EXPECT_EQ(safetensors_header_bytes(bytes_of(file).first<8>(), file.size() + 1'000'000, "x"), file.size());
}

TEST(SafetensorsHeader, RefusesAHeaderThatWasNotFetchedWhole) {
  const std::string file = file_of("{}", 0);
  EXPECT_MACH_ERROR(parse_safetensors_header(bytes_of(file).first(9), 10, "x", HolePolicy::kRefuse),
                    ErrorCode::kCorruptFile, HasSubstr("ends inside header"));
}

TEST(SafetensorsHeader, RefusesImpossibleHeaderLengths) {
  const std::string body = "{}" + std::string(100, ' ');
  for (const uint64_t length : {uint64_t{0}, uint64_t{1}, uint64_t{103}, uint64_t{110}, uint64_t{100'000'001},
                                uint64_t{1} << 63, std::numeric_limits<uint64_t>::max()}) {
    EXPECT_REFUSED(length_prefix(length) + body, HasSubstr("header length " + std::to_string(length)));
  }
  // Over the limit even when the file is that large.
  EXPECT_MACH_ERROR(parse_safetensors_header(bytes_of(length_prefix(100'000'001) + body), 1'000'000'000, "x",
                                             HolePolicy::kRefuse),
                    ErrorCode::kCorruptFile, HasSubstr("100000000"));
  for (const size_t size : {0U, 1U, 7U}) EXPECT_REFUSED(std::string(size, '{'), HasSubstr("too short"));
}

TEST(SafetensorsHeader, AnEmptyHeaderFitsAnEmptyFileOnly) {
  EXPECT_TRUE(parse(file_of("{}", 0)).tensors().empty());
  EXPECT_TRUE(parse(file_of("{} \n\r\t ", 0)).tensors().empty());
  EXPECT_REFUSED(file_of("{}", 1), HasSubstr("1 bytes after the last tensor"));
}

TEST(SafetensorsHeader, RefusesWhatIsNotThisJson) {
  const std::string good = tensor("a", "U8", "[1]", "[0,1]");
  const struct {
    std::string header;
    std::string problem;
  } cases[] = {
      {" {}", "does not begin with '{'"},
      {"[]", "does not begin with '{'"},
      {"{]", "expected a string"},
      {"{" + good, "expected '}'"},
      {"{" + good + ",}", "expected a string"},
      {"{" + good + "} x", "after the closing brace"},
      {"{" + good + "}" + std::string(1, '\0'), "after the closing brace"},
      {"{" + good + "}{}", "after the closing brace"},
      {"{\"a\" 1}", "expected ':'"},
      {"{\"a\":1}", "expected '{'"},
      {"{\"a\":null}", "expected '{'"},
      {"{\"a\":{}}", "expected a string"},
      {"{\"a", "ends inside a string"},
      {"{\"a\\", "unknown escape"},
      {"{\"a\\x\":1}", "unknown escape"},
      {"{\"a\\u12", "hexadecimal"},
      {"{\"a\\u12g4\":1}", "hexadecimal"},
      {"{\"\\ud800\":1}", "unpaired surrogate"},
      {"{\"\\ud800\\u0041\":1}", "unpaired surrogate"},
      {"{\"\\udc00\":1}", "unpaired surrogate"},
      {"{\"\\ud800\\", "unpaired surrogate"},
      {"{\"a\xff\":1}", "not valid UTF-8"},
      {"{\"a\xed\xa0\x80\":1}", "not valid UTF-8"},
  };
  for (const auto& c : cases) EXPECT_REFUSED(file_of(c.header, 1), HasSubstr(c.problem));
}

TEST(SafetensorsHeader, DecodesEscapesInNames) {
  const std::string name = R"(\u0061\"\\\/\u00e9\ud83d\ude00)";
  const std::string file = file_of("{" + tensor(name, "U8", "[1]", "[0,1]") + "}", 1);
  EXPECT_EQ(parse(file).tensors()[0].name, "a\"\\/\xc3\xa9\xf0\x9f\x98\x80");
}

TEST(SafetensorsHeader, NumbersArePlainDigits) {
  const char* const bad[] = {"1e0", "1E0", "-0",    "-1",   "1.0",  "+1",  "01",
                             "00",  "0x1", "\"1\"", "null", "true", "[1]", "18446744073709551616",
                             ""};
  for (const char* number : bad) {
    EXPECT_REFUSED(file_of("{" + tensor("a", "U8", "[" + std::string(number) + ",1]", "[0,1]") + "}", 1),
                   HasSubstr("tensor \"a\""));
    EXPECT_REFUSED(file_of("{" + tensor("a", "U8", "[1]", "[0," + std::string(number) + "]") + "}", 1),
                   HasSubstr("tensor \"a\""));
  }
}

TEST(SafetensorsHeader, NestingCannotGoDeep) {
  EXPECT_REFUSED(file_of("{" + tensor("a", "U8", std::string(100'000, '['), "[0,1]"), 1),
                 HasSubstr("tensor \"a\""));
  EXPECT_REFUSED(file_of("{\"a\":" + std::string(100'000, '{'), 1), HasSubstr("tensor \"a\""));
  EXPECT_REFUSED(file_of("{\"__metadata__\":{\"a\":" + std::string(100'000, '['), 1),
                 HasSubstr("__metadata__"));
}

TEST(SafetensorsHeader, KeysComeOnce) {
  const std::string a = tensor("a", "U8", "[0]", "[0,0]");
  EXPECT_REFUSED(file_of("{" + a + "," + a + "}", 0), HasSubstr("tensor \"a\": comes twice"));
  EXPECT_REFUSED(file_of("{" + a + "," + tensor("\\u0061", "U8", "[0]", "[0,0]") + "}", 0),
                 HasSubstr("comes twice"));
  EXPECT_REFUSED(file_of(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1),
                 HasSubstr("\"dtype\" comes twice"));
  EXPECT_REFUSED(file_of(R"({"a":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}})", 1),
                 HasSubstr("\"shape\" comes twice"));
  EXPECT_REFUSED(file_of(R"({"__metadata__":{},"__metadata__":{}})", 0), HasSubstr("second __metadata__"));
  EXPECT_REFUSED(file_of(R"({"__metadata__":null,"__metadata__":{}})", 0), HasSubstr("second __metadata__"));
  EXPECT_REFUSED(file_of(R"({"__metadata__":{"k":"1","k":"2"}})", 0), HasSubstr("comes twice"));
}

TEST(SafetensorsHeader, ATensorHasItsThreeKeysAndNoOther) {
  EXPECT_REFUSED(file_of(R"({"a":{"dtype":"U8","shape":[1]}})", 1), HasSubstr("data_offsets"));
  EXPECT_REFUSED(file_of(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1), HasSubstr("shape"));
  EXPECT_REFUSED(file_of(R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1), HasSubstr("dtype"));
  EXPECT_REFUSED(file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"strides":[1]}})", 1),
                 HasSubstr("unknown key \"strides\""));
  EXPECT_EQ(
      parse(file_of(R"({ "a" : { "data_offsets" : [ 0 , 1 ] , "shape" : [ 1 ] , "dtype" : "U8" } })", 1))
          .tensors()
          .size(),
      1U);
}

TEST(SafetensorsHeader, MetadataIsAFlatMapOfStringsOrNull) {
  const SafetensorsHeader header = parse(file_of(R"({"__metadata__":{"format":"mlx","note":"a\nb"}})", 0));
  EXPECT_EQ(header.metadata().at("format"), "mlx");
  EXPECT_EQ(header.metadata().at("note"), "a\nb");
  EXPECT_TRUE(parse(file_of(R"({"__metadata__":null})", 0)).metadata().empty());
  EXPECT_TRUE(parse(file_of(R"({"__metadata__":{}})", 0)).metadata().empty());
  for (const char* bad :
       {"1", "[]", "\"x\"", "{\"a\":1}", "{\"a\":null}", "{\"a\":{}}", "{\"a\":\"b\",}", "nul"}) {
    EXPECT_REFUSED(file_of("{\"__metadata__\":" + std::string(bad) + "}", 0), HasSubstr("__metadata__"));
  }
}

TEST(SafetensorsHeader, NamesAreShortPrintableText) {
  const auto with_name = [](const std::string& name) {
    return file_of("{" + tensor(name, "U8", "[1]", "[0,1]") + "}", 1);
  };
  EXPECT_REFUSED(with_name(""), HasSubstr("is empty"));
  EXPECT_REFUSED(with_name("a\\u0000b"), HasSubstr("control character"));
  EXPECT_REFUSED(with_name("a\\nb"), HasSubstr("control character"));
  EXPECT_REFUSED(with_name("a\x7f"), HasSubstr("control character"));
  EXPECT_REFUSED(with_name("a\xc2\x85"), HasSubstr("control character"));
  EXPECT_REFUSED(with_name(std::string("a\0b", 3)), HasSubstr("control character"));
  EXPECT_REFUSED(with_name(std::string(1025, 'n')), HasSubstr("more than 1024 bytes"));
  EXPECT_REFUSED(with_name("\\u0041" + std::string(1024, 'n')), HasSubstr("more than 1024 bytes"));
  EXPECT_EQ(parse(with_name(std::string(1024, 'n'))).tensors()[0].name.size(), 1024U);
  EXPECT_EQ(parse(with_name("\\u0041" + std::string(1023, 'n'))).tensors()[0].name.size(), 1024U);
}

TEST(SafetensorsHeader, OffsetsMustAscendWithinTheData) {
  EXPECT_REFUSED(file_of("{" + tensor("a", "U8", "[1]", "[1,0]") + "}", 1), HasSubstr("must ascend"));
  EXPECT_REFUSED(file_of("{" + tensor("a", "U8", "[2]", "[0,2]") + "}", 1), HasSubstr("1 data bytes"));
  EXPECT_REFUSED(file_of("{" + tensor("a", "U8", "[1]", "[0,18446744073709551615]") + "}", 1),
                 HasSubstr("must ascend"));
  for (const char* count : {"[]", "[0]", "[0,1,1]", "0"}) {
    EXPECT_REFUSED(file_of("{" + tensor("a", "U8", "[1]", count) + "}", 1), HasSubstr("tensor \"a\""));
  }
}

TEST(SafetensorsHeader, TheSizeFollowsFromTypeAndShape) {
  EXPECT_REFUSED(file_of("{" + tensor("a", "F32", "[2,3]", "[0,23]") + "}", 23),
                 AllOf(HasSubstr("F32 [2, 3] takes 24 bytes"), HasSubstr("span 23")));
  EXPECT_REFUSED(file_of("{" + tensor("a", "F32", "[4294967296,4294967296]", "[0,8]") + "}", 8),
                 HasSubstr("passes 2^64"));
  EXPECT_REFUSED(file_of("{" + tensor("a", "F32", "[4294967296,4294967296,0]", "[0,0]") + "}", 0),
                 HasSubstr("passes 2^64"));
  EXPECT_REFUSED(file_of("{" + tensor("a", "F32", "[4611686018427387904]", "[0,0]") + "}", 0),
                 HasSubstr("passes 2^64"));
  EXPECT_REFUSED(file_of("{" + tensor("a", "U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") + "}", 1),
                 HasSubstr("more than 8 dimensions"));
  EXPECT_EQ(parse(file_of("{" + tensor("a", "U8", "[1,1,1,1,1,1,1,1]", "[0,1]") + "}", 1))
                .tensors()[0]
                .shape.rank(),
            8U);
  EXPECT_EQ(parse(file_of("{" + tensor("a", "F32", "[]", "[0,4]") + "}", 4)).tensors()[0].shape, Shape{});
  EXPECT_EQ(parse(file_of("{" + tensor("a", "F32", "[7,0,3]", "[0,0]") + "}", 0)).tensors()[0].size, 0U);
}

TEST(SafetensorsHeader, TypesBelowAByteFillWholeBytes) {
  EXPECT_EQ(parse(file_of("{" + tensor("a", "F4", "[2,3]", "[0,3]") + "}", 3)).tensors()[0].size, 3U);
  EXPECT_EQ(parse(file_of("{" + tensor("a", "F6_E2M3", "[4]", "[0,3]") + "}", 3)).tensors()[0].size, 3U);
  EXPECT_REFUSED(file_of("{" + tensor("a", "F4", "[3]", "[0,2]") + "}", 2),
                 HasSubstr("no whole number of bytes"));
  EXPECT_REFUSED(file_of("{" + tensor("a", "F4", "[3]", "[0,1]") + "}", 1),
                 HasSubstr("no whole number of bytes"));
}

TEST(SafetensorsHeader, TensorsTileTheDataWithoutOverlapHoleOrRest) {
  const std::string a = tensor("a", "U8", "[4]", "[0,4]");
  EXPECT_REFUSED(file_of("{" + a + "," + tensor("b", "U8", "[4]", "[0,4]") + "}", 4),
                 AllOf(HasSubstr("overlaps"), HasSubstr("\"a\"")));
  EXPECT_REFUSED(file_of("{" + a + "," + tensor("b", "U8", "[4]", "[3,7]") + "}", 7),
                 HasSubstr("tensor \"b\": overlaps tensor \"a\""));
  EXPECT_REFUSED(file_of("{" + a + "," + tensor("b", "U8", "[2]", "[1,3]") + "}", 4), HasSubstr("overlaps"));
  EXPECT_REFUSED(file_of("{" + a + "," + tensor("b", "U8", "[0]", "[2,2]") + "}", 4), HasSubstr("overlaps"));
  EXPECT_REFUSED(file_of("{" + a + "," + tensor("b", "U8", "[4]", "[5,9]") + "}", 9),
                 HasSubstr("1 bytes after the end of tensor \"a\""));
  EXPECT_REFUSED(file_of("{" + tensor("a", "U8", "[4]", "[1,5]") + "}", 5),
                 HasSubstr("after the end of the header"));
  EXPECT_REFUSED(file_of("{" + a + "}", 5), HasSubstr("1 bytes after the last tensor"));
  EXPECT_REFUSED(file_of("{" + tensor("a", "U8", "[4]", "[0,4]") + "}", 3), HasSubstr("3 data bytes"));
}

TEST(SafetensorsHeader, AnyOrderOfMembersIsReadInFileOrder) {
  const std::string file =
      file_of("{" + tensor("c", "U8", "[2]", "[4,6]") + "," + tensor("z", "U8", "[0]", "[4,4]") + "," +
                  tensor("a", "U8", "[4]", "[0,4]") + "," + tensor("y", "U8", "[0]", "[6,6]") + "}",
              6);
  std::vector<std::string> names;
  const SafetensorsHeader header = parse(file);
  for (const TensorInfo& t : header.tensors()) names.push_back(t.name);
  EXPECT_THAT(names, ElementsAre("a", "z", "c", "y"));
}

TEST(SafetensorsHeader, LenientReadingReportsHolesAndStillRefusesOverlaps) {
  const std::string a = tensor("a", "U8", "[4]", "[1,5]");
  const std::string file = file_of("{" + a + "," + tensor("b", "U8", "[1]", "[7,8]") + "}", 10);
  const SafetensorsHeader header = parse(file, HolePolicy::kWarn);
  EXPECT_EQ(header.tensors().size(), 2U);
  EXPECT_THAT(header.warnings(), ElementsAre(HasSubstr("after the end of the header"),
                                             HasSubstr("2 bytes after the end of tensor \"a\""),
                                             HasSubstr("2 bytes after the last tensor")));
  EXPECT_MACH_ERROR(
      parse(file_of("{" + a + "," + tensor("b", "U8", "[1]", "[4,5]") + "}", 5), HolePolicy::kWarn),
      ErrorCode::kCorruptFile, HasSubstr("overlaps"));
}

TEST(SafetensorsHeader, AnUnknownTypeMayLieInAFile) {
  const std::string file = file_of(
      "{" + tensor("a", "Q9_9", "[3]", "[0,5]") + "," + tensor("b", "unknown", "[1]", "[5,6]") + "}", 6);
  const SafetensorsHeader header = parse(file);
  EXPECT_EQ(header.find("a")->dtype, DType::kUnknown);
  EXPECT_EQ(header.find("a")->dtype_name(), "Q9_9");
  EXPECT_EQ(header.find("b")->dtype, DType::kUnknown);
  EXPECT_EQ(header.find("b")->dtype_name(), "unknown");
}

TEST(SafetensorsHeader, ThereIsALimitToTheNumberOfTensors) {
  std::string header = "{";
  for (size_t i = 0; i <= kMaxSafetensorsTensors; ++i) {
    if (i > 0) header += ',';
    header += tensor(std::to_string(i), "U8", "[0]", "[0,0]");
  }
  ASSERT_LT(header.size(), kMaxSafetensorsHeader);
  EXPECT_REFUSED(file_of(header + "}", 0), HasSubstr("more than 1048576 tensors"));
}

TEST(SafetensorsHeader, ErrorsDoNotRepeatHostileTextRaw) {
  EXPECT_REFUSED(file_of("{" + tensor("a\\u001b[31m", "U8", "[1]", "[0,1]") + "}", 1),
                 ::testing::Not(HasSubstr("\x1b")));
}

// Every file cut anywhere, and every byte of a header changed: refused or read, nothing else.
TEST(SafetensorsHeader, DamagedFilesAreReadOrRefusedNothingElse) {
  const std::string file =
      file_of("{\"__metadata__\":{\"format\":\"pt\"}," + tensor("a", "F32", "[2,3]", "[0,24]") + "," +
                  tensor("b", "BF16", "[4]", "[24,32]") + "}",
              32);
  for (size_t size = 0; size < file.size(); ++size) EXPECT_THROW(parse(file.substr(0, size)), Error) << size;
  std::mt19937 random(7);
  size_t refused = 0;
  for (size_t at = 0; at < file.size() - 32; ++at) {
    for (int i = 0; i < 40; ++i) {
      std::string damaged = file;
      damaged[at] = static_cast<char>(random());
      try {
        const SafetensorsHeader header = parse(damaged);
        for (const TensorInfo& t : header.tensors()) ASSERT_LE(t.offset + t.size, damaged.size());
      } catch (const Error& error) {
        ASSERT_EQ(error.code(), ErrorCode::kCorruptFile) << error.what();
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 1000U);
}

TEST(DTypes, NamesComeBackAndSizesAreThoseOfTheFormat) {
  for (const DTypeRow& row : dtype_rows()) {
    EXPECT_EQ(find_dtype(row.name), row.dtype);
    EXPECT_EQ(dtype_row(row.dtype).name, row.name);
  }
  EXPECT_EQ(dtype_row(DType::kBF16).bits, 16);
  EXPECT_EQ(dtype_row(DType::kF8E8M0).bits, 8);
  EXPECT_EQ(dtype_row(DType::kF4).bits, 4);
  EXPECT_EQ(dtype_row(DType::kC64).bits, 64);
  EXPECT_EQ(find_dtype("bf16"), DType::kUnknown);
  EXPECT_EQ(tensor_bytes(DType::kF6E3M2, Shape{4, 5}), 15U);
}

TEST(SafetensorsFile, GivesTheBytesOfATensorAndRefusesUnknownTypes) {
  const testing::TempDir dir;
  std::string file =
      file_of("{" + tensor("a", "U8", "[3]", "[0,3]") + "," + tensor("q", "Q9", "[1]", "[3,5]") + "}", 0) +
      "abcde";
  const SafetensorsFile opened = SafetensorsFile::open(dir.write("m.safetensors", file));
  const auto data = opened.data("a");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(data.data()), data.size()), "abc");
  EXPECT_MACH_ERROR(opened.data("q"), ErrorCode::kUnsupported,
                    AllOf(HasSubstr("m.safetensors"), HasSubstr("\"q\""), HasSubstr("Q9")));
  EXPECT_MACH_ERROR(opened.data("none"), ErrorCode::kCorruptFile,
                    AllOf(HasSubstr("m.safetensors"), HasSubstr("\"none\"")));
}

TEST(SafetensorsFile, EmptyAndShortFilesAreRefusedByName) {
  const testing::TempDir dir;
  for (const std::string content : {"", "1234567"}) {
    const auto path = dir.write("m.safetensors", content);
    EXPECT_MACH_ERROR(SafetensorsFile::open(path), ErrorCode::kCorruptFile,
                      HasSubstr("m.safetensors: too short"));
    EXPECT_MACH_ERROR(read_safetensors_header(path), ErrorCode::kCorruptFile,
                      HasSubstr("m.safetensors: too short"));
  }
}

TEST(SafetensorsFile, HeaderAloneAndMappedFileAgree) {
  const auto shared = testing::shared_dir();
  if (!shared) GTEST_SKIP() << testing::kNoSharedDir;
  size_t files = 0;
  for (const char* const group : {"fixtures/nano", "models"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(*shared / group)) {
      if (entry.path().extension() != ".safetensors") continue;
      const SafetensorsFile file = SafetensorsFile::open(entry.path());
      const SafetensorsHeader header = read_safetensors_header(entry.path());
      ASSERT_EQ(file.tensors().size(), header.tensors().size());
      ASSERT_FALSE(header.tensors().empty());
      for (const TensorInfo& t : header.tensors()) {
        ASSERT_EQ(file.at(t.name).offset, t.offset);
        ASSERT_EQ(file.data(t.name).size(), t.size);
      }
      ++files;
    }
  }
  EXPECT_GT(files, 20U);
}

}  // namespace
}  // namespace mach
