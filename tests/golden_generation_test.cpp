// Greedy continuations of the trained mini checkpoints against golden.json beside them: made by Hugging Face transformers
// 5.17.0, eager, float32, no KV cache (for the 4-bit checkpoint from the dequantised weights). Exact numerics. A token may
// differ only where the reference itself is nearly tied; what follows such a step is another text and is not compared.
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/mach_program.h"
#include "support/temp_dir.h"

namespace mach::testing {
namespace {

constexpr double kTied = 0.05;  // logits; the largest difference that a summation order makes is about 2e-5

void check_prompt(const std::filesystem::path& model, const nlohmann::json& prompt, const TempDir& folder) {
  const auto expected = prompt.at("greedy_ids").get<std::vector<int>>();
  const auto margins = prompt.at("greedy_margins").get<std::vector<double>>();
  const auto file = folder.write("prompt.txt", prompt.at("rendered").get<std::string>());
  const ProcessResult run =
      run_mach({"generate", model.string(), "--prompt-file", file.string(), "--exact", "--temperature", "0",
                "--max-tokens", std::to_string(expected.size()), "--json"});
  ASSERT_EQ(run.status, 0) << run.err;
  const nlohmann::json answer = nlohmann::json::parse(run.out);
  EXPECT_EQ(answer.at("usage").at("prompt_tokens"), prompt.at("prompt_ids").size());

  const auto tokens = answer.at("tokens").get<std::vector<int>>();
  for (size_t i = 0; i < expected.size(); ++i) {
    const int token = i < tokens.size() ? tokens[i] : -1;
    if (token == expected[i]) continue;
    EXPECT_LT(margins.at(i), kTied) << "step " << i << ": " << token << " instead of " << expected[i];
    return;
  }
  EXPECT_EQ(tokens.size(), expected.size());
  EXPECT_EQ(answer.at("finish_reason"), "stop");
}

void check_model(const std::filesystem::path& model) {
  const TempDir folder;
  const nlohmann::json golden = nlohmann::json::parse(read_file(model / "golden.json"));
  ASSERT_EQ(golden.at("prompts").size(), 8U);
  for (const nlohmann::json& prompt : golden.at("prompts")) {
    SCOPED_TRACE(prompt.at("messages").dump());
    check_prompt(model, prompt, folder);
  }
}

TEST(GoldenGeneration, DemoModelContinuesAsTheReference) { check_model(demo_model()); }

TEST(GoldenGeneration, BFloat16MasterContinuesAsTheReference) {
  const auto shared = shared_dir();
  if (!shared) GTEST_SKIP() << kNoSharedDir;
  check_model(*shared / "models/mini-qwen3_moe");
}

}  // namespace
}  // namespace mach::testing
