#include "text/chat/json_text.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace mach {
namespace {

TEST(JsonText, QuotingIsUndoneByAParser) {
  std::string text = "plain \"quoted\" back\\slash / é 🚀 \x7f";
  for (char c = 0; c < 0x20; ++c) text.push_back(c);
  const std::string quoted = json_quoted(text);
  EXPECT_EQ(nlohmann::json::parse(quoted).get<std::string>(), text);
  EXPECT_EQ(json_unquoted(quoted), text);
  EXPECT_EQ(json_quoted("a\n\"\x1f"), R"("a\n\"\u001f")");
}

TEST(JsonText, UnquotesOnlyStrings) {
  EXPECT_EQ(json_unquoted(R"("\u00e9")"), "é");
  for (const char* text : {"", "a", "1", "null", "\"a", "[\"a\"]"}) EXPECT_FALSE(json_unquoted(text)) << text;
}

TEST(JsonText, ReadsNumbers) {
  struct Row {
    std::string_view text, number;
    bool whole;
  };
  const Row rows[] = {
      {"3", "3", true},          {" 3\n", "3", true},
      {"-3", "-3", true},        {"+3", "3", true},
      {"007", "7", true},        {"000", "0", true},
      {"-0", "-0", true},        {"123456789012345678901234567890", "123456789012345678901234567890", true},
      {"3.0", "3", true},        {"1e3", "1000", true},
      {"-2.50", "-2.50", false}, {"1e300", "1e300", false},
      {".5", "0.5", false},      {"5.", "5", true},
      {"-0.25", "-0.25", false}, {"9007199254740993.5", "9007199254740993.5", false},
  };
  for (const Row& row : rows) {
    const auto number = to_json_number(row.text);
    ASSERT_TRUE(number) << row.text;
    EXPECT_EQ(number->text, row.number) << row.text;
    EXPECT_EQ(number->whole, row.whole) << row.text;
    EXPECT_TRUE(nlohmann::json::accept(number->text)) << row.text;
  }
  for (const char* text : {"", "-", "+", "+-3", "--3", "3a", "0x10", "1_000", "inf", "nan", "1e400", "1.2.3",
                           "e5", ".", "3 4", "½"}) {
    EXPECT_FALSE(to_json_number(text)) << text;
  }
}

TEST(JsonText, ComparesIgnoringCase) {
  EXPECT_TRUE(equals_ignoring_case("NuLL", "null"));
  EXPECT_TRUE(equals_ignoring_case("", ""));
  EXPECT_FALSE(equals_ignoring_case("null ", "null"));
  EXPECT_FALSE(equals_ignoring_case("nul", "null"));
}

}  // namespace
}  // namespace mach
