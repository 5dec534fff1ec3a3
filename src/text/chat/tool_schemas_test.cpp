#include "text/chat/tool_schemas.h"

#include <chrono>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace mach {
namespace {

using Json = nlohmann::ordered_json;

std::string convert(const char* schema, std::string_view text) {
  const Json json = Json::parse(schema);
  return argument_json(argument_type(json, json), text);
}

TEST(ToolSchemas, ConvertsTextByType) {
  struct Row {
    const char* schema;
    std::string_view text, json;
  };
  const Row rows[] = {
      // text
      {R"({"type": "string"})", "42", R"("42")"},
      {R"({"type": "string"})", "true", R"("true")"},
      {R"({"type": "string"})", " a\nb ", R"(" a\nb ")"},
      {R"({"type": "string"})", "", R"("")"},
      {R"({"type": "str"})", "{}", R"("{}")"},
      {R"({})", "42", R"("42")"},
      {R"({"enum": ["a", "b"]})", "a", R"("a")"},
      {R"({"type": "date"})", "2020", R"("2020")"},
      {R"({"type": 7})", "2020", R"("2020")"},
      {"true", "2020", R"("2020")"},
      // null, whatever the type
      {R"({"type": "string"})", "null", "null"},
      {R"({"type": "integer"})", "NULL", "null"},
      {R"({"type": "object"})", "Null", "null"},
      {R"({"type": "string"})", " null", R"(" null")"},
      // numbers
      {R"({"type": "integer"})", "42", "42"},
      {R"({"type": "integer"})", "3.0", "3"},
      {R"({"type": "integer"})", "3.5", R"("3.5")"},
      {R"({"type": "integer"})", "three", R"("three")"},
      {R"({"type": "int64"})", "-7", "-7"},
      {R"({"type": "unsigned long"})", "7", "7"},
      {R"({"type": "number"})", "3.50", "3.50"},
      {R"({"type": "number"})", "4.0", "4"},
      {R"({"type": "float"})", "1e-3", "1e-3"},
      {R"({"type": "number"})", "NaN", R"("NaN")"},
      // booleans
      {R"({"type": "boolean"})", "true", "true"},
      {R"({"type": "boolean"})", "True", "true"},
      {R"({"type": "bool"})", "FALSE", "false"},
      {R"({"type": "boolean"})", "yes", "false"},
      // objects and arrays
      {R"({"type": "object"})", R"({"b": 1, "a": 2.50})", R"({"b": 1, "a": 2.50})"},
      {R"({"type": "array"})", " [1, 2] ", "[1, 2]"},
      {R"({"type": "array"})", "['a', True, None]", R"(["a", true, null])"},
      {R"({"type": "dict"})", "{'a': (1, 2)}", R"({"a": [1, 2]})"},
      {R"({"type": "array"})", "a, b", R"("a, b")"},
      {R"({"type": "object"})", "{broken", R"("{broken")"},
      // unions
      {R"({"type": ["integer", "null"]})", "5", "5"},
      {R"({"type": ["integer", "null"]})", "null", "null"},
      {R"({"type": ["integer", "null"]})", "5.0", "5"},
      {R"({"type": ["integer", "null"]})", "x", R"("x")"},
      {R"({"type": ["string", "null"]})", "5", R"("5")"},
      {R"({"type": ["string", "integer"]})", "5", "5"},
      {R"({"anyOf": [{"type": "number"}, {"type": "string"}]})", "1.5", "1.5"},
      {R"({"anyOf": [{"type": "number"}, {"type": "string"}]})", "true", R"("true")"},
      {R"({"anyOf": [{"type": "boolean"}, {"type": "string"}]})", "True", "true"},
      {R"({"oneOf": [{"type": "array"}, {"type": "null"}]})", "['a']", R"(["a"])"},
      {R"({"oneOf": [{"type": "array"}, {"type": "null"}]})", R"({"a": 1})", R"("{\"a\": 1}")"},
      {R"({"anyOf": [{}, {"type": "null"}]})", "[1]", "[1]"},
      {R"({"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}], "$defs": {"n": {"type": "integer"}}})", "5",
       "5"},
      // references
      {R"({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}})", "5", "5"},
      {R"({"$ref": "#/$defs/x", "$defs": {"n": {"type": "integer"}}})", "5", R"("5")"},
      {R"({"$ref": "https://example.org"})", "5", R"("5")"},
      {R"({"$ref": "#no pointer~9"})", "5", R"("5")"},
      {R"({"$ref": "#"})", "5", R"("5")"},
      {R"({"$ref": 5})", "5", R"("5")"},
  };
  for (const Row& row : rows)
    EXPECT_EQ(convert(row.schema, row.text), row.json) << row.schema << " " << row.text;
}

TEST(ToolSchemas, FindsArgumentsOfDeclaredTools) {
  const ToolSchemas tools(Json::parse(R"([
    {"type": "function", "function": {"name": "f", "parameters": {"$defs": {"n": {"type": "integer"}},
      "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"type": "boolean"}}}}},
    {"type": "function", "function": {"name": "g"}}, {"type": "web_search"}, 5,
    {"type": "function", "function": {"name": "h", "parameters": {"properties": [1]}}}])"));
  ASSERT_NE(tools.find("f", "a"), nullptr);
  EXPECT_EQ(tools.find("f", "a")->kind, ArgumentKind::kInteger);
  EXPECT_EQ(tools.find("f", "b")->kind, ArgumentKind::kBoolean);
  EXPECT_EQ(tools.find("f", "c"), nullptr);
  EXPECT_EQ(tools.find("g", "a"), nullptr);
  EXPECT_EQ(tools.find("x", "a"), nullptr);
  EXPECT_TRUE(tools.has_tool("g"));
  EXPECT_TRUE(tools.has_tool("h"));
  EXPECT_FALSE(tools.has_tool("x"));
  EXPECT_FALSE(tools.empty());
  EXPECT_TRUE(ToolSchemas().empty());
  EXPECT_TRUE(ToolSchemas(Json()).empty());
}

// A few references can unfold to a union of astronomic size.
TEST(ToolSchemas, BoundsUnionsThatReferToThemselves) {
  Json schema = Json::object();
  schema["anyOf"] = Json::array();
  for (int i = 0; i < 200; ++i) schema["anyOf"].push_back({{"$ref", "#"}});
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(argument_json(argument_type(schema, schema), "5"), "5");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

}  // namespace
}  // namespace mach
