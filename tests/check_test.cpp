// mach-archs, mach-models and `mach check` as programs: their whole output over every checkpoint of the reference material
// against golden files (tests/data/preflight), their JSON against docs/schemasand their exit
// statuses. MACH_UPDATE_GOLDEN=1 writes the golden files anew: look at the difference before it is committed.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <regex>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "support/checkpoint_copy.h"
#include "support/mach_program.h"
#include "support/temp_dir.h"

namespace mach::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

fs::path golden_folder() { return source_dir() / "tests/data/preflight"; }

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size())
    text.replace(at, what.size(), with);
  return text;
}

// Paths become $SHARED. Numbers that depend on the machine (memory, cores) or follow what this version allocates besides
// the weights (memory_estimate_test.cpp compares those with real runs) become #, or 0 in JSON.
std::string without_paths(std::string text, const fs::path& shared) {
  return replaced(std::move(text), shared.string(), "$SHARED");
}

std::string normalised_text(std::string text, const fs::path& shared) {
  text = std::regex_replace(text, std::regex("(copies|scratch|program) [0-9.]+ [kMG]?B"), "$1 #");
  text = std::regex_replace(text, std::regex(": [0-9.]+ [kMG]?B of [0-9.]+ [kMG]?B available"),
                            ": # of # available");
  return without_paths(std::move(text), shared);
}

std::string normalised_json(const std::string& text, const fs::path& shared) {
  auto report = nlohmann::ordered_json::parse(text);
  if (auto& memory = report["memory"]; !memory.is_null()) {
    for (const char* key : {"/copies", "/expert_copies", "/scratch", "/process", "/available",
                            "/streaming/total", "/resident/total"})
      memory[nlohmann::ordered_json::json_pointer(key)] = 0;
  }
  return without_paths(report.dump(2) + "\n", shared);
}

void expect_golden(const std::string& name, const std::string& text) {
  const fs::path path = golden_folder() / name;
  if (std::getenv("MACH_UPDATE_GOLDEN") != nullptr) {
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return;
  }
  ASSERT_TRUE(fs::exists(path)) << path << " is missing; MACH_UPDATE_GOLDEN=1 writes it";
  EXPECT_EQ(text, read_file(path)) << path;
}

// An environment in which only the reference material is known: no caches, no catalogue, no network.
struct Quiet {
  TempDir home;
  Subprocess::Environment environment() const {
    return {{"HOME", home.path().string()},
            {"XDG_CACHE_HOME", (home.path() / "cache").string()},
            {"HF_HOME", (home.path() / "hf").string()},
            {"HF_HUB_CACHE", (home.path() / "hub").string()},
            {"HF_ENDPOINT", "http://127.0.0.1:1"},
            {"LME_CATALOG_URL", ""},
            {"LME_CATALOG_TOKEN", ""},
            {"LME_MODELS_DIR", ""}};
  }
  ProcessResult run(std::vector<std::string> arguments) const {
    return run_mach(std::move(arguments), "", environment());
  }
};

std::vector<fs::path> checkpoints(const fs::path& shared) {
  std::vector<fs::path> folders;
  for (const char* below : {"fixtures/nano", "models"}) {
    for (const auto& entry : fs::directory_iterator(shared / below)) {
      if (fs::exists(entry.path() / "config.json")) folders.push_back(entry.path());
    }
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

std::string label(const fs::path& folder) {
  const std::string name = folder.filename().string();
  return name.starts_with("mini-") ? name : "nano-" + name;
}

// Through python3-jsonschema; false with a message where it is not installed.
bool matches_schema(const std::string& schema, const std::string& document, std::string& complaint) {
  const TempDir folder;
  const fs::path file = folder.write("document.json", document);
  const ProcessResult run =
      run_program({"/usr/bin/env", "python3", (source_dir() / "scripts/check-schema.py").string(),
                   (source_dir() / "docs/schemas" / schema).string(), file.string()});
  complaint = run.out + run.err;
  return run.status == 0;
}

class Preflight : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto shared = shared_dir();
    if (!shared) GTEST_SKIP() << kNoSharedDir;
    shared_ = fs::weakly_canonical(*shared);
  }
  void expect_valid(const std::string& schema, const std::string& document, const std::string& what) {
    std::string complaint;
    if (!matches_schema(schema, document, complaint)) {
      if (complaint.find("not installed") != std::string::npos) {
        GTEST_SKIP() << complaint;
      }
      ADD_FAILURE() << what << ": " << complaint;
    }
  }
  fs::path shared_;
  Quiet quiet_;
};

TEST_F(Preflight, CheckMatchesTheGoldenFiles) {
  for (const fs::path& folder : checkpoints(shared_)) {
    const ProcessResult text = quiet_.run({"check", folder.string()});
    EXPECT_EQ(text.err, "") << folder;
    expect_golden("check/" + label(folder) + ".txt", normalised_text(text.out, shared_));
    const ProcessResult machine = quiet_.run({"check", folder.string(), "--json"});
    EXPECT_EQ(machine.status, text.status);
    expect_golden("check/" + label(folder) + ".json", normalised_json(machine.out, shared_));
    expect_valid("check.schema.json", machine.out, folder.string());
  }
}

TEST_F(Preflight, TheDraftersConfigIsNoModel) {
  const ProcessResult run = quiet_.run({"check", (shared_ / "models/mini-qwen3_5_moe-DFlash").string()});
  EXPECT_EQ(run.status, 1);
  EXPECT_THAT(run.out, HasSubstr("nearest: qwen3_moe"));
}

TEST_F(Preflight, ADraftIsNamedAndCounted) {
  const ProcessResult run =
      quiet_.run({"check", (shared_ / "models/mini-qwen3_5_moe").string(), "--draft-dir",
                  (shared_ / "models/mini-qwen3_5_moe-DFlash").string(), "--json"});
  const json report = json::parse(run.out);
  EXPECT_TRUE(report["artifacts"]["draft_usable"]);
  EXPECT_GT(report["memory"]["draft"], 0);
  expect_valid("check.schema.json", run.out, "with a draft");
}

TEST_F(Preflight, TheForecastFollowsTheRatesGiven) {
  const std::string folder = (shared_ / "models/mini-gpt_oss-mxfp4").string();
  const auto high = [&](const char* bandwidth) {
    const ProcessResult run = quiet_.run({"check", folder, "--bandwidth", bandwidth, "--json"});
    expect_valid("check.schema.json", run.out, "with a forecast");
    return json::parse(run.out)["forecast"]["resident"]["high"].get<double>();
  };
  EXPECT_NEAR(high("80") / high("40"), 2.0, 0.001);
}

TEST_F(Preflight, MeasuringTheDiskReadsTheModelsFiles) {
  const ProcessResult run = quiet_.run(
      {"check", (shared_ / "models/mini-gpt_oss").string(), "--bandwidth", "40", "--measure-disk", "--json"});
  ASSERT_EQ(run.status, 0) << run.err;
  EXPECT_GT(json::parse(run.out)["forecast"]["disk_rate"].get<double>(), 1e6);
}

TEST_F(Preflight, MatrixMatchesTheGoldenFiles) {
  expect_golden("matrix.txt", quiet_.run({"check", "--all-archs"}).out);
  const ProcessResult machine = quiet_.run({"check", "--all-archs", "--json"});
  expect_golden("matrix.json", machine.out);
  expect_valid("check-matrix.schema.json", machine.out, "matrix");
}

TEST_F(Preflight, ArchsMatchTheGoldenFiles) {
  expect_golden("archs.txt", quiet_.run({"archs"}).out);
  const ProcessResult machine = quiet_.run({"archs", "--json"});
  expect_golden("archs.json", machine.out);
  expect_valid("archs.schema.json", machine.out, "archs");
}

TEST_F(Preflight, ModelsMatchTheGoldenFiles) {
  const std::vector<std::string> where = {"models", "--local-only",
                                          "--dir",  (shared_ / "models").string(),
                                          "--dir",  (shared_ / "fixtures/nano").string()};
  expect_golden("models.txt", without_paths(quiet_.run(where).out, shared_));
  std::vector<std::string> machine = where;
  machine.emplace_back("--json");
  const ProcessResult run = quiet_.run(machine);
  expect_golden("models.json", without_paths(run.out, shared_));
  expect_valid("models.schema.json", run.out, "models");
}

TEST_F(Preflight, DoctorsJsonMatchesItsSchema) {
  const ProcessResult run = quiet_.run({"doctor", "--quick", "--json", (shared_ / "models").string()});
  EXPECT_EQ(run.status, 0) << run.out;
  expect_valid("doctor.schema.json", run.out, "doctor");
  const ProcessResult text = quiet_.run({"doctor", "--quick", (shared_ / "models").string()});
  for (const char* name : {"features", "kernel_set", "cores", "available", "transparent_huge_pages",
                           "io_uring", "gpu", "direct_io", "free_space"}) {
    EXPECT_THAT(text.out, HasSubstr(name));
  }
}

TEST(Doctor, SavedRatesFeedTheForecast) {
  const Quiet quiet;
  const ProcessResult saved = quiet.run({"doctor", "--save", demo_model().string()});
  ASSERT_EQ(saved.status, 0) << saved.err;
  const json report = json::parse(quiet.run({"check", demo_model().string(), "--json"}).out);
  EXPECT_GT(report["forecast"]["memory_bandwidth"].get<double>(), 1e8);
  EXPECT_GT(report["forecast"]["disk_rate"].get<double>(), 1e6);
}

TEST(CheckUsage, WrongCommandLinesExitWithTwo) {
  const Quiet quiet;
  for (const std::vector<std::string>& line : std::vector<std::vector<std::string>>{
           {"check"},
           {"check", "--no-such-flag"},
           {"check", demo_model().string(), "--context-length", "0"},
           {"check", demo_model().string(), "--context-length", "999999999"},
           {"check", demo_model().string(), "--expert-cache-gb", "-1"},
           {"check", demo_model().string(), "--bandwidth", "fast"},
           {"check", "--all-archs", demo_model().string()},
           {"doctor", "--save", "--quick"}}) {
    const ProcessResult run = quiet.run(line);
    EXPECT_EQ(run.status, 2) << ::testing::PrintToString(line) << run.err;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
  }
}

TEST(CheckUsage, WhatIsNoModelIsOneClearLine) {
  const Quiet quiet;
  const TempDir folder;
  const fs::path file = folder.write("a-file", "x");
  const struct {
    std::string model;
    ErrorCode code;
    const char* word;
  } kRows[] = {{"/nowhere/model", ErrorCode::kNotFound, "/nowhere/model"},
               {file.string(), ErrorCode::kNotFound, "is a file"},
               {folder.path().string(), ErrorCode::kNotFound, "config.json"},
               {"org/name", ErrorCode::kIo, "127.0.0.1"}};  // no network
  for (const auto& row : kRows) {
    const ProcessResult run = quiet.run({"check", row.model});
    EXPECT_EQ(run.status, error_row(row.code).exit_code) << run.err;
    EXPECT_EQ(run.out, "");
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
    EXPECT_THAT(run.err, HasSubstr(row.word));
  }
}

// What loading refuses `mach check` refuses, and the other way round, with the same words.
struct Edit {
  const char* name;
  std::function<void(const CheckpointCopy&)> apply;
};

void edit_config(const CheckpointCopy& copy, const std::string& key, const json& value) {
  copy.edit_json("config.json", [&](json& config) { config[key] = value; });
}

const std::vector<Edit>& edits() {
  static const std::vector<Edit> kEdits = {
      {"None", [](const CheckpointCopy&) {}},
      {"NotJson", [](const CheckpointCopy& c) { c.write("config.json", "{\"a\": "); }},
      {"AList", [](const CheckpointCopy& c) { c.write("config.json", "[1, 2]"); }},
      {"AnEmptyObject", [](const CheckpointCopy& c) { c.write("config.json", "{}"); }},
      {"UnknownType", [](const CheckpointCopy& c) { edit_config(c, "model_type", "llama"); }},
      {"TypeIsANumber", [](const CheckpointCopy& c) { edit_config(c, "model_type", 7); }},
      {"AnotherFamily", [](const CheckpointCopy& c) { edit_config(c, "model_type", "gpt_oss"); }},
      {"NegativeLayers", [](const CheckpointCopy& c) { edit_config(c, "num_hidden_layers", -1); }},
      {"MoreLayersThanTensors", [](const CheckpointCopy& c) { edit_config(c, "num_hidden_layers", 40); }},
      {"FewerLayersThanTensors", [](const CheckpointCopy& c) { edit_config(c, "num_hidden_layers", 1); }},
      {"AnotherWidth", [](const CheckpointCopy& c) { edit_config(c, "hidden_size", 320); }},
      {"AnotherVocabulary", [](const CheckpointCopy& c) { edit_config(c, "vocab_size", 5000); }},
      {"TopKBeyondExperts", [](const CheckpointCopy& c) { edit_config(c, "num_experts_per_tok", 1000); }},
      {"FewerExperts", [](const CheckpointCopy& c) { edit_config(c, "num_experts", 4); }},
      {"HeadsThatDoNotDivide", [](const CheckpointCopy& c) { edit_config(c, "num_key_value_heads", 3); }},
      {"AnotherGroup",
       [](const CheckpointCopy& c) {
         c.edit_json("config.json", [](json& config) { config["quantization"]["group_size"] = 32; });
       }},
      {"UnknownQuantisation",
       [](const CheckpointCopy& c) {
         c.edit_json("config.json", [](json& config) {
           config.erase("quantization");
           config["quantization_config"] = {{"quant_method", "bitnet"}};
         });
       }},
      {"OtherBits",
       [](const CheckpointCopy& c) {
         c.edit_json("config.json", [](json& config) { config["quantization"]["bits"] = 7; });
       }},
      {"UnknownActivation", [](const CheckpointCopy& c) { edit_config(c, "hidden_act", "relu"); }},
      {"UnknownRope",
       [](const CheckpointCopy& c) {
         edit_config(c, "rope_scaling", {{"rope_type", "spiral"}, {"factor", 2}});
       }},
      {"NoHiddenSize",
       [](const CheckpointCopy& c) {
         c.edit_json("config.json", [](json& config) { config.erase("hidden_size"); });
       }},
      {"WeightsEmpty", [](const CheckpointCopy& c) { c.write("model.safetensors", ""); }},
      {"TensorMissing",
       [](const CheckpointCopy& c) {
         c.edit_header([](json& header) {
           header["other"] = header["model.norm.weight"];
           header.erase("model.norm.weight");
         });
       }},
      {"IndexOfMissingShards",
       [](const CheckpointCopy& c) {
         c.write(
             "model.safetensors.index.json",
             R"({"metadata": {}, "weight_map": {"model.norm.weight": "model-00001-of-00001.safetensors"}})");
       }},
  };
  return kEdits;
}

std::string after(const std::string& text, const std::string& mark) {
  const size_t at = text.find(mark);
  return at == std::string::npos ? "" : text.substr(at + mark.size(), text.find('\n', at) - at - mark.size());
}

void expect_agreement(const std::string& folder, const std::string& what) {
  const Quiet quiet;
  const TempDir out;
  const fs::path ids = out.write("ids.json", "[1, 2, 3]");
  const ProcessResult loaded =
      quiet.run({"logits", folder, "--ids", ids.string(), "--out", (out.path() / "l.safetensors").string()});
  const ProcessResult checked = quiet.run({"check", folder, "--json"});
  ASSERT_TRUE(checked.status == 0 || checked.status == 1) << what << checked.err;
  const json report = json::parse(checked.out);
  EXPECT_EQ(report["supported"].get<bool>(), loaded.status == 0) << what << "\n" << loaded.err << checked.out;
  EXPECT_EQ(checked.status == 0, loaded.status == 0) << what;
  if (loaded.status != 0) {
    EXPECT_EQ(report["problem"].get<std::string>(), after(loaded.err, "error: ")) << what;
  }
}

class CheckAgreesWithLoading : public ::testing::TestWithParam<Edit> {};

TEST_P(CheckAgreesWithLoading, OnAnEditedCheckpoint) {
  const CheckpointCopy copy;
  GetParam().apply(copy);
  expect_agreement(copy.path(), GetParam().name);
}
INSTANTIATE_TEST_SUITE_P(Edits, CheckAgreesWithLoading, ::testing::ValuesIn(edits()),
                         [](const auto& row) { return std::string(row.param.name); });

TEST_F(Preflight, CheckAgreesWithLoadingOnEveryCheckpoint) {
  for (const fs::path& folder : checkpoints(shared_)) expect_agreement(folder.string(), folder.string());
}

// The program that the links mach-archs, mach-models and mach-check lead to. bench/start_up.py times it.
TEST(StartUp, TheSmallProgramHasNoKernels) {
  const std::string program = (mach_program().parent_path() / "mach_inspect").string();
  const std::string text = read_file(program);
  // Names of kernel sources and of the graph, as assertions, messages and symbols would carry them.
  for (const char* word : {"no kernel set '", "forward pass: a step has no state"}) {
    EXPECT_EQ(text.find(word), std::string::npos) << word;
    EXPECT_NE(read_file(mach_program()).find(word), std::string::npos) << word;
  }
}

}  // namespace
}  // namespace mach::testing
