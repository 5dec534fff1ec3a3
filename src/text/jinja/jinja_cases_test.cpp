// Every row of tests/data/jinja_cases.json: what Jinja2 itself made of a snippet. The file names version and flags, and
// the script that made it.
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "support/shared_dir.h"
#include "text/jinja/json_text.h"
#include "text/jinja/template.h"

namespace mach::jinja {
namespace {

TEST(JinjaCases, EveryRowMatchesJinja2) {
  const auto path = mach::testing::source_dir() / "tests/data/jinja_cases.json";
  const auto table = nlohmann::ordered_json::parse(read_text_file(path, size_t{16} << 20));
  const Value variables = from_json(nullptr, table["variables"]);
  RenderOptions options;
  options.clock = fixed_clock(table["provenance"]["now"].get<std::time_t>());
  size_t texts = 0;
  size_t errors = 0;
  for (const auto& row : table["cases"]) {
    const auto source = row["template"].get<std::string>();
    SCOPED_TRACE(row["group"].get<std::string>() + ": " + source);
    const bool fails = row.contains("error");
    try {
      const std::string text = Template::parse(source, "case").render(variables, options);
      ASSERT_FALSE(fails) << "rendered '" << text << "', but Jinja2 raises " << row["error"];
      EXPECT_EQ(text, row["text"].get<std::string>());
      ++texts;
    } catch (const Error& error) {
      ASSERT_TRUE(fails) << error.what();
      const std::string what = error.what();
      EXPECT_EQ(what.find('\n'), std::string::npos);
      EXPECT_THAT(what, ::testing::StartsWith("case:"));
      if (row.contains("message")) {
        auto message = row["message"].get<std::string>();
        std::ranges::replace(message, '\n', ' ');
        EXPECT_THAT(what, ::testing::HasSubstr(message));
      }
      ++errors;
    }
  }
  EXPECT_GE(texts, 280U);
  EXPECT_GE(errors, 200U);
}

}  // namespace
}  // namespace mach::jinja
