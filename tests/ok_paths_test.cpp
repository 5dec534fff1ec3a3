// Every cell that `mach check` calls ok really runs: for each nano and mini checkpoint, each path with that status is
// taken by the program. A path without a runner here fails as soon as it is called ok.
#include <algorithm>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/mach_program.h"
#include "support/serve_program.h"
#include "support/temp_dir.h"

namespace mach::testing {
namespace {

namespace fs = std::filesystem;

using nlohmann::json;

// Why the path does not run on this checkpoint; empty: it does. `report` is that of `mach check --json`.
using Runner = std::string (*)(const fs::path& folder, const json& report);

// The bytes of a file of logits that `mach logits` writes, or what it said instead.
struct Logits {
  std::string bytes, error;
};
Logits logits(const fs::path& folder, std::vector<std::string> more) {
  const TempDir scratch;
  const fs::path ids = scratch.write("ids.json", "[1, 2, 3, 4, 5, 6, 7, 8]");
  const fs::path out = scratch.path() / "logits.safetensors";
  std::vector<std::string> line = {"logits", folder.string(), "--ids", ids.string(), "--out", out.string()};
  line.insert(line.end(), more.begin(), more.end());
  const ProcessResult run = run_mach(line);
  return run.status == 0 ? Logits{read_file(out), ""} : Logits{"", run.err};
}

std::string resident(const fs::path& folder, const json&) { return logits(folder, {"--no-streaming"}).error; }

// With the smallest bank that the report allows, bit for bit what the resident model computes.
std::string streamed(const fs::path& folder, const json& report) {
  const json& memory = report["memory"];
  const double floor = memory["bank_floor"].get<double>() + memory["read_staging"].get<double>();
  const Logits all = logits(folder, {"--no-streaming"});
  const Logits some =
      logits(folder, {"--streaming", "--expert-cache-gb", std::to_string((floor + 1e4) / 1e9)});
  if (!some.error.empty()) return some.error;
  return some.bytes == all.bytes ? "" : "streamed logits differ from resident ones";
}

std::string long_text() {
  std::string text;
  for (int i = 0; i < 120; ++i)
    text += "The number " + std::to_string(i) + " comes before " + std::to_string(i + 1) + ". ";
  return text;
}

TcpClient::Answer chat(const ServeProgram& server, const std::string& text) {
  return server.post(
      "/v1/chat/completions",
      {{"messages", {{{"role", "user"}, {"content", text}}}}, {"temperature", 0}, {"max_tokens", 8}});
}

std::string served(const fs::path& folder, const json&) {
  const ServeProgram server(folder.string());
  const auto answer = chat(server, "Hello");
  return answer.status == 200 ? "" : answer.body;
}

std::string batched(const fs::path& folder, const json&) {
  const ServeProgram server(folder.string());
  std::vector<TcpClient::Answer> answers(3);
  std::vector<std::thread> clients;
  for (auto& answer : answers) clients.emplace_back([&] { answer = chat(server, "Tell me a story."); });
  for (std::thread& client : clients) client.join();
  for (const auto& answer : answers) {
    if (answer.status != 200) return answer.body;
    if (answer.head.find("X-Decode-Mode: batched") == std::string::npos) return answer.head;
  }
  return "";
}

// A prompt that comes again, as when a client retries: caches that cannot be trimmed reuse whole snapshots.
std::string reused(const fs::path& folder, const json&) {
  const ServeProgram server(folder.string());
  int cached = 0;
  for (int request = 0; request < 2; ++request) {
    const auto answer = chat(server, long_text());
    if (answer.status != 200) return answer.body;
    cached = json::parse(answer.body)["usage"]["prompt_tokens_details"]["cached_tokens"].get<int>();
  }
  return cached > 0 ? "" : "no token of a repeated prompt was reused";
}

// A call that the model has to make: the arguments are what the tool's schema accepts, whatever the weights say.
std::string calls_tool(const fs::path& folder, const json&) {
  const ServeProgram server(folder.string());
  const json tools = json::parse(
      R"([{"type": "function", "function": {"name": "turn", "description": "Turns.", "parameters": {
    "type": "object", "properties": {"way": {"type": "string", "enum": ["left", "right"]}}, "required": ["way"],
    "additionalProperties": false}}}])");
  const auto answer =
      server.post("/v1/chat/completions", {{"messages", {{{"role", "user"}, {"content", "Which way?"}}}},
                                           {"tools", tools},
                                           {"tool_choice", "required"},
                                           {"temperature", 0},
                                           {"max_tokens", 100},
                                           {"chat_template_kwargs", {{"enable_thinking", false}}}});
  if (answer.status != 200) return answer.body;
  const json message = json::parse(answer.body)["choices"][0]["message"];
  if (!message.contains("tool_calls") || message["tool_calls"].empty()) return message.dump();
  const json& function = message["tool_calls"][0]["function"];
  const json arguments = json::parse(function["arguments"].get<std::string>(), nullptr, false);
  const bool valid = arguments == json{{"way", "left"}} || arguments == json{{"way", "right"}};
  return function["name"] == "turn" && valid ? "" : message.dump();
}

const std::map<std::string, Runner>& runners() {
  static const std::map<std::string, Runner> kRunners = {
      {"openai_http", served},
      {"expert_streaming", streamed},
      {"resident_stacked", resident},
      {"bf16_streaming", streamed},
      {"continuous_batching", batched},
      {"prefix_kv_reuse", reused},
      {"native_tool_grammar", calls_tool},
  };
  return kRunners;
}

TEST(OkPaths, EveryOkCellRunsOnEveryCheckpoint) {
  const auto shared = shared_dir();
  if (!shared) GTEST_SKIP() << kNoSharedDir;
  int cells = 0;
  for (const char* below : {"fixtures/nano", "models"}) {
    for (const auto& entry : fs::directory_iterator(*shared / below)) {
      if (!fs::exists(entry.path() / "config.json")) continue;
      const ProcessResult check = run_mach({"check", entry.path().string(), "--json"});
      const auto report = json::parse(check.out);
      for (const auto& cell : report["paths"]) {
        if (cell["status"] != "ok") continue;
        const auto path = cell["path"].get<std::string>();
        const auto runner = runners().find(path);
        if (runner == runners().end()) {
          ADD_FAILURE() << path << " is called ok, and nothing here runs it";
          continue;
        }
        EXPECT_EQ(runner->second(entry.path(), report), "") << entry.path() << " " << path;
        ++cells;
      }
    }
  }
  EXPECT_GE(cells, 78);  // or the checkpoints were not found
}

}  // namespace
}  // namespace mach::testing
