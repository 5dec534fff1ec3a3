// mach-generate on the demo model, as a user sees it.
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <signal.h>

#include "support/mach_program.h"
#include "support/temp_dir.h"

namespace mach::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// What the chat template makes of this question with thinking off.
constexpr const char* kFrance =
    "<|im_start|>user\nWhat is the capital of "
    "France?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";
constexpr const char* kAnswer = "The capital of France is Paris.";

std::vector<std::string> generate(std::vector<std::string> more) {
  more.insert(more.begin(), {"generate", demo_model().string()});
  return more;
}

TEST(Generate, WritesTheTextToStandardOutputAndNothingElse) {
  const ProcessResult run = run_mach(generate({"--prompt", kFrance, "--temperature", "0"}));
  EXPECT_EQ(run.status, 0);
  EXPECT_EQ(run.out, std::string(kAnswer) + "\n");
  EXPECT_EQ(run.err, "");
}

TEST(Generate, ReadsThePromptFromArgumentInputOrFile) {
  const TempDir folder;
  const auto file = folder.write("prompt.txt", kFrance);
  const std::string expected = std::string(kAnswer) + "\n";
  EXPECT_EQ(run_mach(generate({"--prompt", "-", "--temperature", "0"}), kFrance).out, expected);
  EXPECT_EQ(run_mach(generate({"--prompt-file", file.string(), "--temperature", "0"})).out, expected);
}

TEST(Generate, WithoutAModelTakesTheDemoModelAndSaysSo) {
  const ProcessResult run = run_mach({"generate", "--prompt", kFrance, "--temperature", "0"});
  EXPECT_EQ(run.out, std::string(kAnswer) + "\n");
  EXPECT_THAT(run.err, AllOf(HasSubstr("demo model"), HasSubstr("mini-qwen3_moe-mlx-4bit")));
}

TEST(Generate, FindsTheDemoModelWhereTheEnvironmentSays) {
  const TempDir folder;
  std::filesystem::create_directory_symlink(demo_model(), folder.path() / "mini-qwen3_moe-mlx-4bit");
  const ProcessResult run = run_mach({"generate", "--prompt", kFrance}, "",
                                     {{"MACH_MODELS", "/nowhere:" + folder.path().string()}});
  EXPECT_EQ(run.status, 0);
  EXPECT_THAT(run.err, HasSubstr(folder.path().string()));
}

TEST(Generate, RunsUnderItsLinkName) {
  const std::string link = (mach_program().parent_path() / "mach-generate").string();
  EXPECT_EQ(run_program({link, "--prompt", kFrance, "--temperature", "0"}).out, std::string(kAnswer) + "\n");
}

TEST(Generate, ChatAnswersTheCapitalOfFrance) {
  // With the checkpoint's own sampling: the answer is so likely that top-p leaves nothing else.
  for (const char* seed : {"1", "2", "3"}) {
    const ProcessResult run =
        run_mach({"generate", "--chat", "--prompt", "What is the capital of France?", "--seed", seed});
    EXPECT_EQ(run.status, 0);
    EXPECT_EQ(run.out, std::string(kAnswer) + "\n");
  }
}

TEST(Generate, ChatRendersSystemMessageAndThinking) {
  const auto prompt_tokens = [](std::vector<std::string> more) {
    more.insert(more.end(), {"--chat", "--json", "--max-tokens", "1"});
    return nlohmann::json::parse(run_mach(generate(more)).out).at("usage").at("prompt_tokens").get<int>();
  };
  EXPECT_EQ(prompt_tokens({"--system", "Answer briefly.", "--prompt", "List 3 animals."}),
            30);  // golden.json
  EXPECT_EQ(prompt_tokens({"--prompt", "Say hello in Japanese.", "--thinking"}), 17);
  EXPECT_EQ(run_mach(generate({"--prompt", "x", "--thinking"})).status, 2);  // needs --chat
}

TEST(Generate, JsonIsOneObjectWithTokensAndUsage) {
  const ProcessResult run = run_mach(generate({"--prompt", kFrance, "--temperature", "0", "--json"}));
  ASSERT_EQ(run.status, 0) << run.err;
  const auto answer = nlohmann::json::parse(run.out);
  EXPECT_EQ(answer.at("text"), kAnswer);
  EXPECT_EQ(answer.at("tokens"), nlohmann::json::parse("[417, 426, 314, 2840, 299, 2376, 13, 4089]"));
  EXPECT_EQ(answer.at("finish_reason"), "stop");
  EXPECT_EQ(answer.at("usage").at("prompt_tokens"), 23);
  EXPECT_EQ(answer.at("usage").at("completion_tokens"), 8);
  EXPECT_EQ(answer.at("usage").at("total_tokens"), 31);
  EXPECT_GT(answer.at("timings").at("prompt_seconds"), 0);
}

TEST(Generate, MaxTokensAndStopStringsEndIt) {
  EXPECT_EQ(run_mach(generate({"--prompt", kFrance, "--temperature", "0", "--max-tokens", "3"})).out,
            "The capital of\n");
  EXPECT_EQ(
      run_mach(generate({"--prompt", kFrance, "--temperature", "0", "--stop", "ance i", "--stop", "zzz"}))
          .out,
      "The capital of Fr\n");
  const auto cut = nlohmann::json::parse(
      run_mach(generate({"--prompt", kFrance, "--temperature", "0", "--json", "--max-tokens", "3"})).out);
  EXPECT_EQ(cut.at("finish_reason"), "length");
}

TEST(Generate, SameSeedGivesTheSameText) {
  const auto run = [&](const char* seed, const char* threads) {
    return run_mach(
               generate({"--prompt", "Once upon a time", "--temperature", "1.5", "--top-p", "1", "--top-k",
                         "0", "--seed", seed, "--max-tokens", "40", "--exact", "--threads", threads}))
        .out;
  };
  const std::string text = run("1", "1");
  EXPECT_EQ(run("1", "1"), text);
  EXPECT_EQ(run("1", "3"), text);  // exact numerics do not depend on threads
  EXPECT_NE(run("2", "1"), text);
}

TEST(Generate, PenaltiesAndBiasesReachTheSampler) {
  // Forbidding repetition makes the greedy count of the demo model end differently.
  const std::vector<std::string> base =
      generate({"--prompt", "a a a a a a a a", "--temperature", "0", "--max-tokens", "8"});
  std::vector<std::string> penalised = base;
  penalised.insert(penalised.end(), {"--repetition-penalty", "5"});
  EXPECT_NE(run_mach(base).out, run_mach(penalised).out);
}

TEST(Generate, StatsGoToStandardError) {
  const ProcessResult run = run_mach(generate({"--prompt", kFrance, "--temperature", "0", "--stats"}));
  EXPECT_EQ(run.out, std::string(kAnswer) + "\n");
  for (const char* word : {"model ", "load ", "prompt  23 tokens", "decode  8 tokens", "tokens/s", "memory ",
                           "affine 4-bit", "fast numerics", "finish: stop"}) {
    EXPECT_THAT(run.err, HasSubstr(word));
  }
}

TEST(Generate, KernelSetCanBeForced) {
  const ProcessResult run =
      run_mach(generate({"--prompt", kFrance, "--temperature", "0", "--kernels", "scalar", "--stats"}));
  EXPECT_EQ(run.out, std::string(kAnswer) + "\n");
  EXPECT_THAT(run.err, HasSubstr("scalar kernels"));
}

TEST(Generate, InterruptEndsTheTextCleanly) {
  Subprocess process(
      mach_arguments(generate({"--prompt", "Once upon a time", "--temperature", "9", "--top-p", "1",
                               "--top-k", "0", "--seed", "5", "--max-tokens", "4000", "--stats"})));
  ASSERT_TRUE(process.wait_for_output(" "));
  process.send_signal(SIGINT);
  const ProcessResult run = process.finish();
  EXPECT_EQ(run.status, 130);
  EXPECT_TRUE(run.out.ends_with('\n'));
  EXPECT_THAT(run.err, HasSubstr("finish: cancelled"));
}

TEST(Generate, HelpNamesEveryOptionAndExitsZero) {
  const ProcessResult help = run_mach({"generate", "--help"});
  EXPECT_EQ(help.status, 0);
  EXPECT_EQ(help.err, "");
  for (const char* option :
       {"--prompt", "--prompt-file", "--chat", "--system", "--max-tokens", "--temperature", "--top-p",
        "--top-k", "--min-p", "--seed", "--stop", "--repetition-penalty", "--exact", "--threads",
        "--context-length", "--kernels", "--json", "--stats", "Examples:"}) {
    EXPECT_THAT(help.out, HasSubstr(option));
  }
  EXPECT_EQ(run_mach({"help", "generate"}).out, help.out);
}

TEST(Completion, ScriptsNameTheCommandsAndBashAcceptsThem) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const ProcessResult run = run_mach({"completion", shell});
    EXPECT_EQ(run.status, 0);
    EXPECT_THAT(run.out, AllOf(HasSubstr("generate"), HasSubstr("logits"), StartsWith("#")));
  }
  const std::string path = mach_program().parent_path().string();
  const auto complete = [&](const std::string& words, int position) {
    const std::string script = "PATH=" + path + ":$PATH; source <(mach completion bash); COMP_WORDS=(" +
                               words + "); COMP_CWORD=" + std::to_string(position) +
                               "; _mach_complete; printf '%s\\n' \"${COMPREPLY[@]}\"";
    return run_program({"/bin/bash", "-c", script}).out;
  };
  EXPECT_EQ(complete("mach gene", 1), "generate\n");
  EXPECT_EQ(complete("mach generate --tem", 2), "--temperature\n");
  EXPECT_EQ(complete("mach-generate --see", 1), "--seed\n");
  EXPECT_EQ(run_mach({"completion", "csh"}).status, 2);
}

}  // namespace
}  // namespace mach::testing
