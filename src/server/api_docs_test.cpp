// docs/API.md shows every endpoint and every field as the parser knows them. The tables stand between the lines
// "<!-- fields: NAME -->" and "<!-- end -->"; with MACH_UPDATE_DOCS=1 this test writes them.
#include <cstdlib>
#include <fstream>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/api.h"
#include "support/shared_dir.h"
#include "support/temp_dir.h"

namespace mach::server {
namespace {

std::string markdown(const FieldTable& table) {
  std::string text = "| field | type | here | notes |\n|---|---|---|---|\n";
  for (const FieldRow& row : table.rows) {
    text += fmt::format("| `{}` | {} | {} | {} |\n", row.name, type_names(row.types),
                        handling_name(row.handling), row.note);
  }
  return text;
}

TEST(ApiDocs, ShowEveryFieldAsTheParserKnowsIt) {
  const auto path = mach::testing::source_dir() / "docs/API.md";
  std::string text = mach::testing::read_file(path);
  for (const FieldTable* table : documented_tables()) {
    const std::string start = fmt::format("<!-- fields: {} -->\n", table->name);
    const size_t at = text.find(start);
    ASSERT_NE(at, std::string::npos) << "docs/API.md lacks " << start;
    const size_t from = at + start.size();
    const size_t end = text.find("<!-- end -->", from);
    ASSERT_NE(end, std::string::npos);
    if (std::getenv("MACH_UPDATE_DOCS") != nullptr) {
      text.replace(from, end - from, markdown(*table));
    } else {
      EXPECT_EQ(text.substr(from, end - from), markdown(*table)) << "run this test with MACH_UPDATE_DOCS=1";
    }
  }
  if (std::getenv("MACH_UPDATE_DOCS") != nullptr) std::ofstream(path) << text;
}

TEST(ApiDocs, NameEveryEndpoint) {
  const std::string text = mach::testing::read_file(mach::testing::source_dir() / "docs/API.md");
  for (const std::string& endpoint : Api::endpoints()) {
    EXPECT_THAT(text, ::testing::HasSubstr(fmt::format("`{}`", endpoint)));
  }
}

}  // namespace
}  // namespace mach::server
