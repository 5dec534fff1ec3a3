#include "tools/dispatch.h"

#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <CLI/App.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mach/error.h"

#include "tools/cli.h"

namespace mach::tools {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

int run_echo(int argc, char** argv) {
  CLI::App app("Say it.");
  int count = 0;
  app.add_option("--count", count, "How often")->required();
  if (!parse_command_line(app, argc, argv, "  mach echo --count 2")) return 0;
  return 40 + count;
}
int run_fail(int, char**) { throw Error(ErrorCode::kCorruptFile, "x.json: field 'y' is missing"); }
int run_bug(int, char**) { throw std::logic_error("broken"); }

constexpr Command kRows[] = {{"echo", "Say it", run_echo},
                             {"fail", "Always fails", run_fail},
                             {"serve", "Throws a foreign error", run_bug}};

struct Result {
  int status;
  std::string out, err;
};

Result run(std::vector<std::string> args) {
  std::vector<char*> argv;
  argv.reserve(args.size() + 1);
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  std::ostringstream out;
  std::ostringstream err;
  const int status = dispatch(kRows, static_cast<int>(args.size()), argv.data(), out, err);
  return {status, out.str(), err.str()};
}

TEST(Dispatch, RunsTheCommandNamedByTheFirstWordOrTheLink) {
  EXPECT_EQ(run({"/usr/bin/mach", "echo", "--count", "2"}).status, 42);
  EXPECT_EQ(run({"./mach-echo", "--count=1"}).status, 41);
}

TEST(Dispatch, ErrorIsOneLineWithTheShownNameAndTheCodesExitStatus) {
  const Result spaced = run({"mach", "fail"});
  EXPECT_EQ(spaced.status, error_row(ErrorCode::kCorruptFile).exit_code);
  EXPECT_EQ(spaced.err, "mach fail: error: x.json: field 'y' is missing\n");
  EXPECT_THAT(run({"mach-fail"}).err, StartsWith("mach-fail: error: "));
}

TEST(Dispatch, ForeignExceptionIsAnInternalError) {
  const Result r = run({"mach", "serve"});
  EXPECT_EQ(r.status, error_row(ErrorCode::kInternal).exit_code);
  EXPECT_EQ(r.err, "mach serve: error: broken\n");
}

TEST(Dispatch, UnknownCommandExitsTwoAndSuggestsTheNearest) {
  const Result r = run({"mach", "sreve"});
  EXPECT_EQ(r.status, 2);
  EXPECT_THAT(r.err, StartsWith("mach: error: unknown command 'sreve', did you mean 'serve'?"));
  EXPECT_THAT(run({"mach-ehco"}).err, HasSubstr("did you mean 'echo'?"));
  EXPECT_THAT(run({"mach", "quantumtunnel"}).err, Not(HasSubstr("did you mean")));
}

TEST(Dispatch, UsageErrorsOfACommandExitTwo) {
  const Result missing = run({"mach", "echo"});
  EXPECT_EQ(missing.status, 2);
  EXPECT_THAT(missing.err, StartsWith("mach echo: error: --count is required"));
  EXPECT_EQ(run({"mach", "echo", "--count", "two"}).status, 2);
  EXPECT_EQ(run({"mach", "echo", "--count", "2", "--colour"}).status, 2);
  EXPECT_EQ(run({"mach"}).status, 2);
}

TEST(Dispatch, HelpListsCommandsAndVersionIsOneLine) {
  const Result help = run({"mach", "--help"});
  EXPECT_EQ(help.status, 0);
  for (const Command& row : kRows) EXPECT_THAT(help.out, HasSubstr(std::string(row.summary)));
  EXPECT_THAT(run({"mach", "--version"}).out, testing::MatchesRegex("mach [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(Dispatch, HelpOfACommandShowsItsOptionsAndExamples) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(run({"mach", "help", "echo"}).status, 0);
  EXPECT_EQ(run({"mach-echo", "--help"}).status, 0);
  const std::string text = testing::internal::GetCapturedStdout();
  EXPECT_THAT(text, HasSubstr("--count"));
  EXPECT_THAT(text, HasSubstr("mach echo --count 2"));
}

}  // namespace
}  // namespace mach::tools
