#include "text/chat/json_scanner.h"

#include <random>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace mach {
namespace {

TEST(JsonScanner, NamesTheKindOfStrictJson) {
  struct Row {
    std::string_view text;
    std::optional<JsonKind> kind;
  };
  const Row rows[] = {
      {"null", JsonKind::kNull},
      {" true ", JsonKind::kBoolean},
      {"false", JsonKind::kBoolean},
      {"0", JsonKind::kInteger},
      {"-12", JsonKind::kInteger},
      {"1.0", JsonKind::kNumber},
      {"1e5", JsonKind::kNumber},
      {"-0.5E-7", JsonKind::kNumber},
      {R"("a\"\\\u00e9\ud83d\ude80")", JsonKind::kString},
      {"\"\"", JsonKind::kString},
      {"[]", JsonKind::kArray},
      {"[1, [2], {}]", JsonKind::kArray},
      {"{}", JsonKind::kObject},
      {R"({"a": {"b": [1.5, "x"]}, "a": null})", JsonKind::kObject},
      {"", {}},
      {" ", {}},
      {"nul", {}},
      {"nulll", {}},
      {"True", {}},
      {"01", {}},
      {"-", {}},
      {"+1", {}},
      {"1.", {}},
      {".5", {}},
      {"1e", {}},
      {"1e+", {}},
      {"1 2", {}},
      {"\"a", {}},
      {"\"\n\"", {}},
      {R"("\x")", {}},
      {R"("\u12g4")", {}},
      {R"("\ud83d")", {}},
      {R"("\ude80")", {}},
      {R"("\ud83d\u0041")", {}},
      {"[1,]", {}},
      {"[1 2]", {}},
      {"[,]", {}},
      {"[}", {}},
      {"{,}", {}},
      {R"({"a"})", {}},
      {R"({"a":})", {}},
      {R"({"a":1,})", {}},
      {R"({"a":1 "b":2})", {}},
      {"{a:1}", {}},
      {"{}}", {}},
      {"[[]", {}},
      {"// x\n1", {}},
  };
  for (const Row& row : rows) EXPECT_EQ(json_kind(row.text), row.kind) << row.text;
}

TEST(JsonScanner, LimitsNesting) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(json_kind(nested(kMaxJsonDepth)));
  EXPECT_FALSE(json_kind(nested(kMaxJsonDepth + 1)));
}

TEST(JsonScanner, EscapesRawControlCharacters) {
  JsonScanner scanner;
  std::string out;
  for (const char c : std::string("{\"a\nb\":\n\"\t\x01\"}")) append_json_byte(out, c, scanner.feed(c));
  EXPECT_TRUE(scanner.complete());
  EXPECT_EQ(out, "{\"a\\nb\":\n\"\\t\\u0001\"}");
}

// Random edits of valid documents: the scanner agrees with a whole parser about every one of them.
TEST(JsonScanner, AgreesWithAParserOnDamagedDocuments) {
  const std::string_view alphabet = "{}[]:,\"\\ 0123-+.eEtrufalsn/bd8";
  const std::string documents[] = {
      R"({"name": "f", "arguments": {"a": [1, -2.5e3, true, null], "b": "\u00e9\n"}})",
      R"([[], {}, "", 0, -0, 1e9, false, "\ud83d\ude80"])"};
  std::mt19937 random(1);
  int valid = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = documents[round % 2];
    for (unsigned edits = random() % 3; edits > 0; --edits) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text.erase(at, 1);
          break;
        case 1:
          text.insert(at, 1, alphabet[random() % alphabet.size()]);
          break;
        default:
          text[at] = alphabet[random() % alphabet.size()];
      }
    }
    const bool accepted = nlohmann::json::accept(text);
    valid += accepted ? 1 : 0;
    ASSERT_EQ(json_kind(text).has_value(), accepted) << text;
  }
  EXPECT_GT(valid, 5000);
}

}  // namespace
}  // namespace mach
