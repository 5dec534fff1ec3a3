// mach-serve as its users run it: the program, real sockets on loopback, the trained checkpoints.
#include <future>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/mach_program.h"
#include "support/serve_program.h"
#include "support/shared_dir.h"
#include "support/temp_dir.h"

namespace mach::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kQuestion = "What is the capital of France?";
constexpr const char* kAnswer = "The capital of France is Paris.";

json chat_body(const std::string& question, const json& more = json::object()) {
  json body = {{"messages", {{{"role", "user"}, {"content", question}}}},
               {"temperature", 0},
               {"max_tokens", 200},
               {"chat_template_kwargs", {{"enable_thinking", false}}}};
  body.update(more);
  return body;
}

TEST(Serve, AnswersInEveryFamily) {
  const auto shared = shared_dir();
  if (!shared) GTEST_SKIP() << kNoSharedDir;
  for (const char* model : {"mini-qwen3_moe", "mini-qwen3_5_moe", "mini-gemma4", "mini-gpt_oss-mxfp4",
                            "mini-deepseek_v4-fp8-fp4"}) {
    SCOPED_TRACE(model);
    ServeProgram server((*shared / "models" / model).string(), {"--exact"});
    ASSERT_NE(server.port(), 0);
    EXPECT_EQ(server.answer_to(kQuestion), kAnswer);
    const json tools = json::parse(R"([{"type": "function", "function": {"name": "get_weather",
      "description": "Get the weather in a city.", "parameters": {"type": "object",
      "properties": {"city": {"type": "string"}}, "required": ["city"]}}},
      {"type": "function", "function": {"name": "add", "description": "Add two integers.", "parameters":
      {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]}}}])");
    const auto call =
        server.post("/v1/chat/completions", chat_body("What is the weather in Tokyo?", {{"tools", tools}}));
    ASSERT_EQ(call.status, 200) << call.body;
    const json choice = json::parse(call.body)["choices"][0];
    EXPECT_EQ(choice["finish_reason"], "tool_calls") << call.body;
    EXPECT_EQ(json::parse(choice["message"]["tool_calls"][0]["function"]["arguments"].get<std::string>()),
              json({{"city", "Tokyo"}}));
    EXPECT_EQ(server.stop().status, 0);
  }
}

TEST(Serve, AnswersHaveTheFormThatWasAskedFor) {
  ServeProgram server(demo_model().string());
  const json schema =
      json::parse(R"({"type": "object", "properties": {"name": {"type": "string", "maxLength": 12},
    "age": {"type": "integer", "minimum": 0, "maximum": 150}}, "required": ["name", "age"], "additionalProperties": false})");
  for (const bool thinking : {false, true}) {
    const auto answer = server.post(
        "/v1/chat/completions",
        chat_body("Tell me a story about a fox named Mia.",
                  {{"max_tokens", 400},
                   {"chat_template_kwargs", {{"enable_thinking", thinking}}},
                   {"response_format",
                    {{"type", "json_schema"}, {"json_schema", {{"name", "x"}, {"schema", schema}}}}}}));
    ASSERT_EQ(answer.status, 200) << answer.body;
    const json choice = json::parse(answer.body)["choices"][0];
    if (choice["finish_reason"] == "length") continue;  // still thinking
    const json value = json::parse(choice["message"]["content"].get<std::string>(), nullptr, false);
    EXPECT_TRUE(value.is_object() && value.size() == 2 && value["age"].is_number_integer()) << answer.body;
  }
}

TEST(Serve, SaysWhatIsActive) {
  ServeProgram server(demo_model().string(), {"--parallel", "3", "--model-id", "tiny"});
  EXPECT_EQ(server.get("/v1/models")["data"][0]["id"], "tiny");
  const json facts = server.get("/v1/capabilities")["process"];
  EXPECT_EQ(facts["parallel"], 3);
  EXPECT_EQ(facts["expert_residency"], "resident");
  EXPECT_THAT(server.ask(http_get("/metrics")).body, HasSubstr("mach_engine_parallel 3"));
  const ProcessResult end = server.stop();
  EXPECT_EQ(end.status, 0);
  EXPECT_THAT(end.err, AllOf(HasSubstr("expert_residency=resident"), HasSubstr("direct_pread="),
                             HasSubstr("sidecar_valid="), HasSubstr("decode_path="),
                             HasSubstr("prefix_cache=on"), HasSubstr("kernel_set="), HasSubstr("stopped")));
}

TEST(Serve, JsonLogIsOneObjectPerLine) {
  ServeProgram server(demo_model().string(), {"--log-format", "json"});
  server.answer_to(kQuestion);
  const ProcessResult end = server.stop();
  size_t requests = 0;
  for (size_t at = 0; at < end.err.size();) {
    const size_t stop = end.err.find('\n', at);
    const json line = json::parse(end.err.substr(at, stop - at));
    EXPECT_TRUE(line.contains("time") && line.contains("level"));
    requests += line.at("event") == "request" ? 1 : 0;
    at = stop + 1;
  }
  EXPECT_EQ(requests, 1U);
}

TEST(Serve, WrongCommandLinesSayWhatIsRight) {
  const std::string model = demo_model().string();
  EXPECT_THAT(run_mach({"serve", model}).err, HasSubstr("--streaming and --no-streaming"));
  EXPECT_THAT(run_mach({"serve", "--no-streaming"}).err, HasSubstr("MODEL"));
  EXPECT_EQ(run_mach({"serve", model, "--no-streaming", "--backend", "other"}).status, 2);
  EXPECT_EQ(run_mach({"serve", "/nowhere", "--no-streaming"}).status, 5);
  EXPECT_EQ(run_mach({"serve", model, "--no-streaming"}, "", {{"LME_CONTINUOUS_BATCHING", "maybe"}}).status,
            2);
}

TEST(Serve, OptionsComeFromFileAndEnvironmentToo) {
  const TempDir folder;
  const auto config = folder.write("serve.toml", "model-id = \"named\"\nmax-waiting = 5\n");
  ServeProgram server(demo_model().string(), {"--config", config.string()},
                      {{"LME_CONTINUOUS_BATCHING_MAX_B", "2"}, {"MACH_API_KEY", "secret"}});
  const auto models = server.ask(http_get("/v1/models", "Authorization: Bearer secret\r\n"));
  EXPECT_THAT(models.body, HasSubstr("\"named\""));
  EXPECT_THAT(server.ask(http_get("/v1/stats", "x-api-key: secret\r\n")).body, HasSubstr("\"parallel\":2"));
  EXPECT_EQ(server.ask(http_get("/v1/models")).status, 401);
  EXPECT_EQ(server.stop().status, 0);
}

TEST(Serve, AClientThatLeavesStopsTheWork) {
  ServeProgram server(demo_model().string());
  {
    TcpClient client(server.port());
    client.send(http_post("/v1/chat/completions",
                          chat_body("Tell me a story about a fox named Mia.",
                                    {{"stream", true}, {"ignore_eos", true}, {"max_tokens", 7000}})
                              .dump()));
    client.read_until("\"content\":\"");
  }
  EXPECT_TRUE(server.becomes_idle());
  EXPECT_EQ(server.get("/v1/stats")["requests"]["cancelled"], 1);
  EXPECT_EQ(server.answer_to(kQuestion), kAnswer);
}

TEST(Serve, TheSignalToEndLetsRunningAnswersFinish) {
  ServeProgram server(demo_model().string(), {"--drain", "20"});
  TcpClient client(server.port());
  client.send(http_post("/v1/chat/completions",
                        chat_body("Tell me a story about a fox named Mia.", {{"stream", true}}).dump()));
  client.read_until("\"content\":\"");
  server.send_signal(SIGTERM);
  EXPECT_THAT(client.read_all(), AllOf(HasSubstr("\"finish_reason\":\"stop\""), HasSubstr("[DONE]")));
  EXPECT_EQ(server.finish().status, 0);
}

TEST(Serve, AnAnswerThatTakesTooLongForTheEndIsCutWithAValidEnd) {
  ServeProgram server(demo_model().string(), {"--drain", "0.2"});
  TcpClient client(server.port());
  client.send(http_post(
      "/v1/chat/completions",
      chat_body("Tell me a story.", {{"stream", true}, {"ignore_eos", true}, {"max_tokens", 7900}}).dump()));
  client.read_until("\"content\":\"");
  server.send_signal(SIGTERM);
  EXPECT_THAT(client.read_all(), AllOf(HasSubstr("\"finish_reason\":\"length\""), HasSubstr("[DONE]")));
  EXPECT_EQ(server.finish().status, 0);
}

TEST(Serve, TheTimeLimitEndsAnAnswerWithWhatThereIs) {
  ServeProgram server(demo_model().string(), {"--request-timeout", "0.5"});
  const auto answer = server.post(
      "/v1/chat/completions", chat_body("Tell me a story.", {{"ignore_eos", true}, {"max_tokens", 7900}}));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(json::parse(answer.body)["choices"][0]["finish_reason"], "length");
}

TEST(Serve, HostileClientsCostNobodyElse) {
  ServeProgram server(demo_model().string(), {"--max-body-mb", "0.1"});
  std::vector<std::unique_ptr<TcpClient>> half_open;
  for (int i = 0; i < 20; ++i) {
    half_open.push_back(std::make_unique<TcpClient>(server.port()));
    half_open.back()->send("POST /v1/chat/completions HTTP/1.1\r\nContent-Le");
  }
  EXPECT_EQ(server.ask(http_post("/v1/chat/completions", std::string(200'000, 'x'))).status, 413);
  EXPECT_EQ(server.ask(http_post("/v1/chat/completions", std::string(90'000, '['))).status, 400);
  EXPECT_EQ(server.ask(http_post("/v1/chat/completions", "{\"messages\": 1}")).status, 400);
  EXPECT_EQ(server.ask("\x16\x03\x01\x02\r\n\r\n").status, 400);
  EXPECT_EQ(server.answer_to(kQuestion), kAnswer);
  EXPECT_EQ(server.stop().status, 0);
}

TEST(Serve, SimultaneousRequestsGetTheAnswersOfSingleOnes) {
  ServeProgram server(demo_model().string(), {"--exact", "--parallel", "4"});
  const std::vector<std::string> questions = {kQuestion, "List 3 animals.", "Count from 5 to 30.",
                                              "Write a Python function that reverses a string."};
  std::vector<std::string> alone;
  for (const std::string& question : questions) alone.push_back(server.answer_to(question));
  std::vector<std::future<std::string>> together;
  for (int i = 0; i < 12; ++i) {
    together.push_back(std::async(std::launch::async, [&, i] { return server.answer_to(questions[i % 4]); }));
  }
  for (size_t i = 0; i < together.size(); ++i) EXPECT_EQ(together[i].get(), alone[i % 4]);
  EXPECT_EQ(server.stop().status, 0);
}

// The end of the system prompt is a place to go on from in every family, whatever its caches.
TEST(Serve, AnotherQuestionReusesTheSystemPrompt) {
  const auto shared = shared_dir();
  if (!shared) GTEST_SKIP() << kNoSharedDir;
  std::string system = "You help. ";
  for (int i = 0; i < 60; ++i) system += "One day Mia took the hat to the garden. ";
  for (const char* family : {"qwen3_moe", "qwen3_5_moe", "gpt_oss", "gemma4", "deepseek_v4"}) {
    const ServeProgram server((*shared / "models" / (std::string("mini-") + family)).string());
    const auto usage = [&](const std::string& question) {
      const json messages = {{{"role", "system"}, {"content", system}},
                             {{"role", "user"}, {"content", question}}};
      const auto answer = server.post("/v1/chat/completions", {{"messages", messages}, {"max_tokens", 1}});
      return json::parse(answer.body)["usage"];
    };
    const int cold = usage("Where is the hat?")["prompt_tokens_details"]["cached_tokens"];
    const json warm = usage("Name a colour.");
    EXPECT_EQ(cold, 0) << family;
    EXPECT_GT(warm["prompt_tokens_details"]["cached_tokens"].get<int>(),
              warm["prompt_tokens"].get<int>() - 40)
        << family;
  }
}

TEST(Serve, ARepeatedPromptComesFromTheCache) {
  ServeProgram server(demo_model().string());
  std::string text = "Read this. ";
  for (int i = 0; i < 150; ++i) text += "One day Mia took the hat to the garden. ";
  const auto usage = [&] {
    return json::parse(
        server.post("/v1/chat/completions", chat_body(text, {{"max_tokens", 1}})).body)["usage"];
  };
  const json cold = usage();
  const json warm = usage();
  EXPECT_EQ(cold["prompt_tokens_details"]["cached_tokens"], 0);
  EXPECT_GT(warm["prompt_tokens_details"]["cached_tokens"], warm["prompt_tokens"].get<int>() / 2);
}

}  // namespace
}  // namespace mach::testing
