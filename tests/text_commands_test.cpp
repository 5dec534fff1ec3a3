// `mach tokenize` and `mach render` against the recorded prompts of the demo model.
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "support/mach_program.h"
#include "support/temp_dir.h"

namespace mach::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class TextCommands : public ::testing::Test {
 protected:
  TempDir folder;
  std::string model = demo_model().string();
  nlohmann::ordered_json prompts =
      nlohmann::ordered_json::parse(read_file(demo_model() / "golden.json")).at("prompts");
};

TEST_F(TextCommands, TokenizeGivesTheRecordedIds) {
  for (const auto& prompt : prompts) {
    const ProcessResult run =
        run_mach({"tokenize", model, "--no-special", "--json"}, prompt.at("rendered").get<std::string>());
    ASSERT_EQ(run.status, 0) << run.err;
    EXPECT_EQ(nlohmann::json::parse(run.out).at("ids"), nlohmann::json(prompt.at("prompt_ids")));
  }
}

TEST_F(TextCommands, RenderGivesTheRecordedPrompts) {
  for (const auto& prompt : prompts) {
    nlohmann::ordered_json request = {{"messages", prompt.at("messages")},
                                      {"tools", prompt.at("tools")},
                                      {"add_generation_prompt", true},
                                      {"enable_thinking", prompt.at("enable_thinking")}};
    const auto file = folder.write("request.json", request.dump());
    const ProcessResult run = run_mach({"render", model, "--messages", file.string()});
    ASSERT_EQ(run.status, 0) << run.err;
    EXPECT_EQ(run.out, prompt.at("rendered").get<std::string>());
  }
}

TEST_F(TextCommands, RefusalsAreOneLine) {
  const auto expect_refusal = [](const ProcessResult& run, ErrorCode code, const std::string& word) {
    EXPECT_EQ(run.status, error_row(code).exit_code) << run.err;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
    EXPECT_THAT(run.err, HasSubstr(word));
    EXPECT_EQ(run.out, "");
  };
  expect_refusal(run_mach({"tokenize", model}, "\xc3("), ErrorCode::kInvalidRequest, "UTF-8");
  expect_refusal(run_mach({"tokenize", "/nowhere"}, "x"), ErrorCode::kNotFound, "/nowhere");
  expect_refusal(run_mach({"render", model, "--messages", "-"}, "[{"), ErrorCode::kInvalidRequest,
                 "--messages");
  const auto raising = folder.write("raising.jinja", "{{ raise_exception('roles must alternate') }}");
  expect_refusal(run_mach({"render", "--template", raising.string(), "--messages", "-"}, "[]"),
                 ErrorCode::kInvalidRequest, "roles must alternate");
  const auto broken = folder.write("broken.jinja", "{% if %}");
  expect_refusal(run_mach({"render", "--template", broken.string(), "--messages", "-"}, "[]"),
                 ErrorCode::kCorruptFile, "broken.jinja:1");
}

}  // namespace
}  // namespace mach::testing
