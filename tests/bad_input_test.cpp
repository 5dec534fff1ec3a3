// What a user sees when something is wrong: one line on standard error that names the file, tensor or field, the exit status
// of that kind of error (mach/error.h), nothing on standard output, and never a crash.
#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mach/error.h"

#include "support/checkpoint_copy.h"
#include "support/mach_program.h"
#include "support/temp_dir.h"

namespace mach::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Matcher;
using ::testing::StartsWith;

void expect_refusal(const ProcessResult& run, ErrorCode code, const Matcher<const std::string&>& message) {
  EXPECT_EQ(run.status, error_row(code).exit_code) << run.err;
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
  EXPECT_THAT(run.err, AllOf(StartsWith("mach"), HasSubstr(": error: "), message));
}

ProcessResult generate(const std::string& model, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"generate", model, "--prompt", "Hello", "--max-tokens", "4"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_mach(arguments);
}

struct DamageRow {
  const char* name;
  std::function<void(const CheckpointCopy&)> damage;
  ErrorCode code;
  std::vector<std::string> words;  // in the message
};

std::string with_length(uint64_t length) {
  std::string start(8, '\0');
  std::memcpy(start.data(), &length, sizeof length);
  return start + "{}";
}

const std::vector<DamageRow>& damage_rows() {
  using Json = nlohmann::json;
  constexpr ErrorCode kCorrupt = ErrorCode::kCorruptFile;
  static const std::vector<DamageRow> kRows = {
      {"ConfigMissing",
       [](const CheckpointCopy& c) { c.remove("config.json"); },
       ErrorCode::kNotFound,
       {"config.json"}},
      {"ConfigNotJson",
       [](const CheckpointCopy& c) { c.write("config.json", "{\"a\": "); },
       kCorrupt,
       {"config.json"}},
      {"ConfigDeep",
       [](const CheckpointCopy& c) { c.write("config.json", std::string(100000, '[')); },
       kCorrupt,
       {"config.json"}},
      {"ConfigWithoutAKey",
       [](const CheckpointCopy& c) { c.edit_json("config.json", [](Json& j) { j.erase("hidden_size"); }); },
       kCorrupt,
       {"config.json", "hidden_size"}},
      {"ConfigKeyOfWrongType",
       [](const CheckpointCopy& c) {
         c.edit_json("config.json", [](Json& j) { j["num_experts"] = "many"; });
       },
       kCorrupt,
       {"config.json", "num_experts"}},
      {"UnknownModelType",
       [](const CheckpointCopy& c) {
         c.edit_json("config.json", [](Json& j) { j["model_type"] = "qwen9_moe"; });
       },
       ErrorCode::kUnsupported,
       {"qwen9_moe", "qwen3_moe"}},
      {"WeightsMissing",
       [](const CheckpointCopy& c) { c.remove("model.safetensors"); },
       ErrorCode::kNotFound,
       {}},
      {"WeightsEmpty",
       [](const CheckpointCopy& c) { c.write("model.safetensors", ""); },
       kCorrupt,
       {"model.safetensors"}},
      {"HeaderOfAnExabyte",
       [](const CheckpointCopy& c) { c.write("model.safetensors", with_length(uint64_t{1} << 60)); },
       kCorrupt,
       {"model.safetensors"}},
      {"WeightsTruncated",
       [](const CheckpointCopy& c) {
         const std::string file = c.read("model.safetensors");
         c.write("model.safetensors", std::string_view(file).substr(0, file.size() / 2));
       },
       kCorrupt,
       {"model.safetensors"}},
      {"TensorsOverlap",
       [](const CheckpointCopy& c) {
         c.edit_header([](Json& h) {
           h["model.layers.0.self_attn.q_norm.weight"]["data_offsets"] =
               h["model.layers.0.self_attn.k_norm.weight"]["data_offsets"];
         });
       },
       kCorrupt,
       {"model.safetensors"}},
      {"TensorMissing",
       [](const CheckpointCopy& c) {
         c.edit_header([](Json& h) {
           h["some.other.name"] = h["model.norm.weight"];
           h.erase("model.norm.weight");
         });
       },
       kCorrupt,
       {"norm"}},
      {"TensorOfWrongShape",
       [](const CheckpointCopy& c) {
         c.edit_header([](Json& h) { h["model.norm.weight"]["shape"] = {128, 2}; });
       },
       kCorrupt,
       {"model.norm.weight"}},
      {"TensorOfWrongType",
       [](const CheckpointCopy& c) {
         c.edit_header([](Json& h) { h["model.norm.weight"]["dtype"] = "I16"; });
       },
       kCorrupt,
       {"model.norm.weight"}},
      {"ShapeThatOverflows",
       [](const CheckpointCopy& c) {
         c.edit_header([](Json& h) {
           h["model.norm.weight"]["shape"] = {uint64_t{1} << 40, uint64_t{1} << 40};
         });
       },
       kCorrupt,
       {"model.norm.weight"}},
      {"TokenizerNotJson",
       [](const CheckpointCopy& c) { c.write("tokenizer.json", "{\"model\": {\"type\""); },
       kCorrupt,
       {"tokenizer.json"}},
      {"TokenizerWithoutModel",
       [](const CheckpointCopy& c) { c.edit_json("tokenizer.json", [](Json& j) { j.erase("model"); }); },
       kCorrupt,
       {"tokenizer.json", "model"}},
      {"TokenizerOfAnotherKind",
       [](const CheckpointCopy& c) {
         c.edit_json("tokenizer.json", [](Json& j) { j["model"]["type"] = "Unigram"; });
       },
       ErrorCode::kUnsupported,
       {"tokenizer.json", "Unigram"}},
      {"TokenizerMissing",
       [](const CheckpointCopy& c) { c.remove("tokenizer.json"); },
       ErrorCode::kNotFound,
       {"tokenizer.json"}},
  };
  return kRows;
}

class DamagedCheckpoint : public ::testing::TestWithParam<DamageRow> {};

TEST_P(DamagedCheckpoint, IsRefusedInOneLine) {
  const CheckpointCopy checkpoint;
  GetParam().damage(checkpoint);
  const ProcessResult run = generate(checkpoint.path());
  expect_refusal(run, GetParam().code, HasSubstr(""));
  for (const std::string& word : GetParam().words) EXPECT_THAT(run.err, HasSubstr(word));
}
INSTANTIATE_TEST_SUITE_P(BadInput, DamagedCheckpoint, ::testing::ValuesIn(damage_rows()),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(BadInput, WhatIsNotThereIsNamed) {
  expect_refusal(generate("/nowhere/model"), ErrorCode::kNotFound, HasSubstr("/nowhere/model"));
  expect_refusal(run_mach({"generate", demo_model().string(), "--prompt-file", "/nowhere/p.txt"}),
                 ErrorCode::kNotFound, HasSubstr("/nowhere/p.txt"));
  const TempDir empty;
  expect_refusal(generate(empty.path().string()), ErrorCode::kNotFound, HasSubstr("config.json"));
}

TEST(BadInput, GenerationConfigIsOnlyAdvice) {
  const CheckpointCopy checkpoint;
  checkpoint.write("generation_config.json", "{\"temperature\": ");
  const ProcessResult run = generate(checkpoint.path());
  EXPECT_EQ(run.status, 0);
  EXPECT_NE(run.out, "");
  EXPECT_THAT(run.err,
              AllOf(StartsWith("warning: "), HasSubstr("generation_config.json"), HasSubstr("ignored")));
}

TEST(BadInput, TemplatesAreOnlyNeededForChat) {
  const auto run = [](const char* source, bool chat) {
    const CheckpointCopy checkpoint;
    if (source == nullptr) {
      checkpoint.remove("chat_template.jinja");
    } else {
      checkpoint.write("chat_template.jinja", source);
    }
    return generate(checkpoint.path(),
                    chat ? std::vector<std::string>{"--chat"} : std::vector<std::string>{});
  };
  constexpr const char* kRaises = "{{ raise_exception('only tools may speak') }}";
  expect_refusal(run(kRaises, true), ErrorCode::kInvalidRequest,
                 AllOf(HasSubstr("chat_template.jinja"), HasSubstr("only tools may speak")));
  expect_refusal(run("{% for %}", true), ErrorCode::kCorruptFile, HasSubstr("chat_template.jinja:1"));
  expect_refusal(run("{% for m in range(10000000) %}{{ 'x' * 100000 }}{% endfor %}", true),
                 ErrorCode::kTooLarge, HasSubstr("chat_template.jinja"));
  expect_refusal(run(nullptr, true), ErrorCode::kNotFound, HasSubstr("chat template"));
  for (const char* source : {kRaises, "{% for %}", static_cast<const char*>(nullptr)}) {
    EXPECT_EQ(run(source, false).status, 0);
  }
}

TEST(BadInput, PromptsAreChecked) {
  const std::string model = demo_model().string();
  expect_refusal(run_mach({"generate", model, "--prompt", "caf\xE9 au lait"}), ErrorCode::kInvalidRequest,
                 AllOf(HasSubstr("--prompt"), HasSubstr("byte 3"), HasSubstr("UTF-8")));
  expect_refusal(run_mach({"generate", model, "--prompt", "-"}, "\xff\xfe"), ErrorCode::kInvalidRequest,
                 HasSubstr("byte 0"));
  expect_refusal(run_mach({"generate", model, "--prompt", ""}), ErrorCode::kInvalidRequest,
                 HasSubstr("prompt"));
  std::string words;
  for (int i = 0; i < 3000; ++i) words += "one two ";
  expect_refusal(run_mach({"generate", model, "--prompt", "-"}, words), ErrorCode::kTooLarge,
                 HasSubstr("context length of 4096"));
}

TEST(BadInput, OptionsAreChecked) {
  const std::string model = demo_model().string();
  expect_refusal(generate(model, {"--top-p", "1.5"}), ErrorCode::kInvalidRequest, HasSubstr("top_p"));
  expect_refusal(generate(model, {"--stop", ""}), ErrorCode::kInvalidRequest, HasSubstr("stop"));
  expect_refusal(generate(model, {"--kernels", "avx1024"}), ErrorCode::kUnsupported, HasSubstr("avx1024"));
  expect_refusal(generate(model, {"--context-length", "100000"}), ErrorCode::kInvalidRequest,
                 HasSubstr("4096"));
  expect_refusal(generate(model, {"--threads", "100000"}), ErrorCode::kInvalidRequest, HasSubstr("threads"));
  expect_refusal(generate(model, {"--temprature", "1"}), ErrorCode::kUsage, HasSubstr("--temprature"));
  expect_refusal(generate(model, {"--top-k", "-3"}), ErrorCode::kUsage, HasSubstr("--top-k"));
  expect_refusal(generate(model, {"--max-tokens", "0"}), ErrorCode::kUsage, HasSubstr("--max-tokens"));
  expect_refusal(run_mach({"generate", model}), ErrorCode::kUsage, HasSubstr("--prompt"));
  expect_refusal(run_mach({"generatte", model}), ErrorCode::kUsage, HasSubstr("did you mean 'generate'"));
}

TEST(BadInput, TokenIdsAreChecked) {
  const TempDir folder;
  const auto logits = [&](const std::string& ids) {
    const auto file = folder.write("ids.json", ids);
    const ProcessResult run = run_mach({"logits", demo_model().string(), "--ids", file.string(), "--out",
                                        (folder.path() / "out.safetensors").string()});
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "out.safetensors"));
    return run;
  };
  constexpr ErrorCode kInvalid = ErrorCode::kInvalidRequest;
  expect_refusal(logits("[1, 2, 4096]"), kInvalid, AllOf(HasSubstr("4096"), HasSubstr("vocabulary")));
  expect_refusal(logits("[1, -2]"), kInvalid, AllOf(HasSubstr("ids.json"), HasSubstr("-2")));
  expect_refusal(logits("[1, 2.5]"), kInvalid, HasSubstr("2.5"));
  expect_refusal(logits("[99999999999999]"), kInvalid, HasSubstr("99999999999999"));
  expect_refusal(logits("[18446744073709551615]"), kInvalid, HasSubstr("ids.json"));
  expect_refusal(logits("{}"), kInvalid, HasSubstr("array"));
  expect_refusal(logits("[]"), kInvalid, HasSubstr("no token ids"));
  expect_refusal(logits("[1, 2"), ErrorCode::kCorruptFile, HasSubstr("ids.json"));
  std::string many = "[1";
  for (int i = 0; i < 5000; ++i) many += ",1";
  expect_refusal(logits(many + "]"), ErrorCode::kTooLarge, HasSubstr("4096"));
}

}  // namespace
}  // namespace mach::testing
