#include "text/chat/python_literal.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "text/chat/json_scanner.h"

namespace mach {
namespace {

TEST(PythonLiteral, BecomesJson) {
  struct Row {
    std::string_view python, json;
  };
  const Row rows[] = {
      {"None", "null"},
      {" True ", "true"},
      {"False", "false"},
      {"-3", "-3"},
      {"2.5", "2.5"},
      {"'a'", R"("a")"},
      {R"("it's")", R"("it's")"},
      {R"('say "hi"\n\t\\ \'')", R"("say \"hi\"\n\t\\ '")"},
      {R"('\x41\u00e9\U0001F680\101\0')", R"("Aé🚀A\u0000")"},
      {R"('\q')", R"("\\q")"},
      {"[]", "[]"},
      {"[1, 'a', None,]", R"([1, "a", null])"},
      {"()", "[]"},
      {"(1,)", "[1]"},
      {"(1, 2)", "[1, 2]"},
      {"{}", "{}"},
      {"{'a': {'b': [True, ()]}, 2: 'x', }", R"({"a": {"b": [true, []]}, "2": "x"})"},
      {"{\n 'é🚀' : 1\n}", R"({"é🚀": 1})"},
      {"[true, null]", "[true, null]"},
  };
  for (const Row& row : rows) {
    const auto json = python_literal_to_json(row.python);
    ASSERT_TRUE(json) << row.python;
    EXPECT_EQ(nlohmann::json::parse(*json), nlohmann::json::parse(row.json))
        << row.python << " gave " << *json;
  }
}

TEST(PythonLiteral, RefusesTheRest) {
  for (const char* text :
       {"",        "a",       "[",       "[1",     "[1 2]",     "[,]",           "(1)",      "{'a'}",
        "{'a': }", "{'a': 1", "'a",      "'a\nb'", "'a' 'b'",   "1 + 1",         "f(x)",     "{1, 2}",
        "[1]x",    "b'a'",    "'''a'''", "'\\x4'", "'\\ud800'", "'\\U00110000'", "{[1]: 2}", "1e400",
        "'\\"}) {
    EXPECT_FALSE(python_literal_to_json(text)) << text;
  }
  EXPECT_FALSE(
      python_literal_to_json(std::string(kMaxJsonDepth + 1, '[') + std::string(kMaxJsonDepth + 1, ']')));
}

}  // namespace
}  // namespace mach
