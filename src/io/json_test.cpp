#include "io/json.h"

#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

#define EXPECT_REFUSED(text, ...)                                        \
  EXPECT_MACH_ERROR(parse_json(text, "c.json"), ErrorCode::kCorruptFile, \
                    AllOf(HasSubstr("c.json"), __VA_ARGS__))

TEST(Json, ParsesEveryKindOfValue) {
  const char* const text =
      R"({"a":[1,-2,3.5,true,false,null,"x\u00e9"],"b":{"c":{},"d":[]},"e":18446744073709551615})";
  EXPECT_EQ(parse_json(text, "c.json"), nlohmann::json::parse(text));
  EXPECT_EQ(parse_ordered_json(text, "c.json"), nlohmann::ordered_json::parse(text));
  for (const char* scalar : {"1", "\"s\"", "null", " [] "})
    EXPECT_EQ(parse_json(scalar, "c.json"), nlohmann::json::parse(scalar));
}

TEST(Json, OrderedKeepsTheOrderOfKeys) {
  EXPECT_EQ(parse_ordered_json(R"({"z":1,"a":{"y":2,"b":3},"m":4})", "c").dump(),
            R"({"z":1,"a":{"y":2,"b":3},"m":4})");
}

TEST(Json, NamesTheFileAndTheByte) {
  EXPECT_REFUSED("", HasSubstr("byte 1"));
  EXPECT_REFUSED("{\"a\": tru}", HasSubstr("byte 10"));
  EXPECT_REFUSED("[1,]", HasSubstr("byte 4"));
  EXPECT_REFUSED("{\"a\":1}x", HasSubstr("byte 8"));
  EXPECT_REFUSED("// no\n1", HasSubstr("byte 1"));
  EXPECT_REFUSED("[NaN]", HasSubstr("byte 2"));
  EXPECT_REFUSED("[1e999]", HasSubstr("1e999"));
  EXPECT_REFUSED("\"\xff\"", HasSubstr("byte 2"));
  EXPECT_REFUSED("\"\\ud800\"", HasSubstr("surrogate"));
}

TEST(Json, ErrorTextIsShortAndPrintable) {
  try {
    parse_json("\"\x1b\xff" + std::string(10'000, 'x'), "c.json");
    FAIL();
  } catch (const Error& error) {
    EXPECT_LT(std::string(error.what()).size(), 500U);
    EXPECT_EQ(std::string(error.what()).find('\x1b'), std::string::npos);
    EXPECT_NO_THROW(nlohmann::json(error.what()).dump());  // valid UTF-8, so that it can go into an API reply
  }
}

TEST(Json, KeysComeOnceUnlessAllowed) {
  const char* const text = R"({"k":[{"a":1,"b":2,"a":3}]})";
  EXPECT_REFUSED(text, HasSubstr("\"a\" comes twice"));
  EXPECT_MACH_ERROR(parse_ordered_json(text, "c"), ErrorCode::kCorruptFile, HasSubstr("\"a\" comes twice"));
  JsonLimits limits;
  limits.duplicates = DuplicateKeys::kKeepLast;
  EXPECT_EQ(parse_json(text, "c", limits).dump(), R"({"k":[{"a":3,"b":2}]})");
  EXPECT_EQ(parse_ordered_json(text, "c", limits).dump(), R"({"k":[{"a":3,"b":2}]})");
}

TEST(Json, DepthIsLimited) {
  JsonLimits limits;
  limits.max_depth = 3;
  EXPECT_EQ(parse_json("[[{}]]", "c", limits).dump(), "[[{}]]");
  EXPECT_MACH_ERROR(parse_json("[[[[]]]]", "c", limits), ErrorCode::kCorruptFile, HasSubstr("deeper than 3"));
  EXPECT_REFUSED(std::string(1'000'000, '['), HasSubstr("deeper than"));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_REFUSED(objects, HasSubstr("deeper than"));
}

TEST(Json, SizeAndNumberOfValuesAreLimited) {
  JsonLimits limits;
  limits.max_bytes = 10;
  limits.max_values = 4;
  EXPECT_MACH_ERROR(parse_json("[1, 2, 3, 4]", "c.json", limits), ErrorCode::kTooLarge,
                    AllOf(HasSubstr("c.json"), HasSubstr("at most 10")));
  EXPECT_EQ(parse_json("[1,2,3]", "c", limits).size(), 3U);
  EXPECT_MACH_ERROR(parse_json("[1,2,3,4]", "c", limits), ErrorCode::kCorruptFile,
                    HasSubstr("more than 4 values"));
}

TEST(Json, TheServersErrorsAreRequestErrors) {
  JsonLimits limits;
  limits.error = ErrorCode::kInvalidRequest;
  EXPECT_MACH_ERROR(parse_json("{", "request body", limits), ErrorCode::kInvalidRequest,
                    HasSubstr("request body"));
}

TEST(Json, ManyKeysTakeLinearTime) {
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i) text += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":1";
  text += "}";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(parse_ordered_json(text, "c").size(), 200'000U);
  EXPECT_LT(std::chrono::steady_clock::now() - start,
            std::chrono::seconds(5));  // a quadratic search takes minutes
}

TEST(Json, ReadsAFile) {
  const testing::TempDir dir;
  EXPECT_EQ(read_json_file(dir.write("ok.json", "{\"a\":1}")).at("a"), 1);
  EXPECT_MACH_ERROR(read_json_file(dir.write("bad.json", "{")), ErrorCode::kCorruptFile,
                    HasSubstr("bad.json"));
  EXPECT_MACH_ERROR(read_json_file(dir.path() / "none.json"), ErrorCode::kNotFound, HasSubstr("none.json"));
  EXPECT_MACH_ERROR(read_json_file(dir.path() / "ok.json", 3), ErrorCode::kTooLarge, HasSubstr("ok.json"));
}

}  // namespace
}  // namespace mach
