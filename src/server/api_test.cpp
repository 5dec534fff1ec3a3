// The endpoints without sockets and without a model's arithmetic: requests in, replies out, with the demo checkpoint's
// tokenizer and template and a queue that plays a script.
#include "server/api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "server/scripted_queue.h"
#include "support/shared_dir.h"

namespace mach::server::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsNull;
using ::testing::Not;
using ::testing::NotNull;
using ::testing::StartsWith;

const LoadedEngine& demo_engine() {
  static const auto kEngine =
      LoadedEngine::open((mach::testing::source_dir() / "models/mini-qwen3_moe-mlx-4bit").string(), {});
  return *kEngine;
}

constexpr const char* kTools = R"([{"type": "function", "function": {"name": "get_weather",
  "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}])";
constexpr const char* kCall =
    "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Tokyo\"}}\n</tool_call>";

class ApiTest : public ::testing::Test {
 protected:
  explicit ApiTest(ApiOptions options = {}, RouterOptions router_options = {})
      : api_(model_, queue_, std::move(options), {}),
        router_(api_.routes(), std::move(router_options), {}, [this](std::string_view route, int status) {
          api_.metrics().request_failed(route, status);
        }) {}

  std::unique_ptr<Reply> open(const std::string& method, const std::string& path, const std::string& body,
                              std::vector<HttpHeader> headers = {}) {
    HttpRequest request;
    request.method = method;
    request.path = path;
    request.body = body;
    request.headers = std::move(headers);
    return router_.handle(request);
  }
  ReadReply post(const std::string& path, const Json& body) {
    const auto reply = open("POST", path, body.dump());
    return ReadReply(*reply);
  }
  ReadReply get(const std::string& path) {
    const auto reply = open("GET", path, "");
    return ReadReply(*reply);
  }
  static Json chat(const std::string& more = "{}") {
    Json body = {{"messages", Json::array({{{"role", "user"}, {"content", "Hi"}}})}};
    body.update(Json::parse(more));
    return body;
  }
  // The error must be of this status, name this field, and say this.
  static void expect_error(const ReadReply& reply, int status, const Json& param, const std::string& text) {
    EXPECT_EQ(reply.head.status, status) << reply.body;
    const Json error = reply.json().at("error");
    EXPECT_EQ(error.at("param"), param) << reply.body;
    EXPECT_THAT(error.at("message").get<std::string>(), HasSubstr(text));
    EXPECT_TRUE(error.at("type").is_string());
  }

  const ServedModel model_{demo_engine(), "demo"};
  ScriptedQueue queue_{demo_engine().tokenizer()};
  Api api_;
  Router router_;
};

TEST_F(ApiTest, ChatAnswersWithMessageUsageAndTimings) {
  const ReadReply reply = post("/v1/chat/completions", chat());
  ASSERT_EQ(reply.head.status, 200) << reply.body;
  const Json body = reply.json();
  EXPECT_EQ(body.at("object"), "chat.completion");
  EXPECT_EQ(body.at("model"), "demo");
  const Json& choice = body.at("choices").at(0);
  EXPECT_EQ(choice.at("message").at("role"), "assistant");
  EXPECT_EQ(choice.at("message").at("content"), "Hello.");
  EXPECT_EQ(choice.at("finish_reason"), "stop");
  EXPECT_EQ(choice.at("logprobs"), nullptr);
  const auto prompt = queue_.requests.at(0).prompt.size();
  EXPECT_EQ(body.at("usage").at("prompt_tokens"), prompt);
  EXPECT_EQ(body.at("usage").at("prompt_tokens_details").at("cached_tokens"), 3);
  EXPECT_EQ(body.at("timings").at("prompt_ms"), 500);
  EXPECT_THAT(reply.header("x-decode-mode"), ::testing::Pointee(std::string("batched")));
}

TEST_F(ApiTest, ChatStreamNamesTheRoleFirstAndTheReasonLast) {
  const ReadReply reply =
      post("/v1/chat/completions", chat(R"({"stream": true, "stream_options": {"include_usage": true}})"));
  EXPECT_EQ(reply.head.status, 200);
  EXPECT_EQ(reply.head.content_type, "text/event-stream");
  const auto events = reply.events();
  ASSERT_GE(events.size(), 5U);
  EXPECT_EQ(events.front().json().at("choices").at(0).at("delta").at("role"), "assistant");
  std::string text;
  for (size_t i = 0; i + 1 < events.size(); ++i) {
    const Json chunk = events[i].json();
    EXPECT_EQ(chunk.at("object"), "chat.completion.chunk");
    if (!chunk.at("choices").empty()) text += chunk["choices"][0]["delta"].value("content", "");
  }
  EXPECT_EQ(text, "Hello.");
  const Json end = events[events.size() - 3].json();
  EXPECT_EQ(end.at("choices").at(0).at("finish_reason"), "stop");
  EXPECT_EQ(end.at("usage"), nullptr);
  const Json usage = events[events.size() - 2].json();
  EXPECT_TRUE(usage.at("choices").empty());
  EXPECT_GT(usage.at("usage").at("completion_tokens"), 0);
  EXPECT_EQ(events.back().data, "[DONE]");
}

TEST_F(ApiTest, ChatStreamSendsHeadersBeforeAnyToken) {
  queue_.hold = true;
  const auto reply = open("POST", "/v1/chat/completions", chat(R"({"stream": true})").dump());
  reply->start([] {});
  const ReplyPart part = reply->pull(Clock::now());
  ASSERT_TRUE(part.head);
  EXPECT_EQ(part.head->status, 200);
  EXPECT_FALSE(part.last);
}

TEST_F(ApiTest, SilentStreamsGetKeepAliveCommentsByTheClock) {
  queue_.hold = true;
  const auto reply = open("POST", "/v1/chat/completions", chat(R"({"stream": true})").dump());
  reply->start([] {});
  const Clock::time_point now = Clock::now();
  reply->pull(now);
  EXPECT_EQ(reply->pull(now + std::chrono::seconds(1)).body, "");
  ASSERT_TRUE(reply->next_pull());
  EXPECT_EQ(reply->pull(now + std::chrono::seconds(11)).body, ": keep-alive\n\n");
}

TEST_F(ApiTest, ReturnProgressReportsThePrompt) {
  const ReadReply reply = post("/v1/chat/completions", chat(R"({"stream": true, "return_progress": true})"));
  EXPECT_THAT(reply.body, HasSubstr("\"prompt_progress\":{\"total\":"));
  EXPECT_THAT(post("/v1/chat/completions", chat(R"({"stream": true})")).body,
              Not(HasSubstr("prompt_progress")));
}

TEST_F(ApiTest, DroppingAReplyCancelsItsRequest) {
  queue_.hold = true;
  {
    const auto reply = open("POST", "/v1/chat/completions", chat(R"({"stream": true})").dump());
    reply->start([] {});
    reply->pull(Clock::now());
    queue_.write(1, 0, "Once upon a time");
    EXPECT_THAT(reply->pull(Clock::now()).body, HasSubstr("upon"));
    EXPECT_TRUE(queue_.cancelled.empty());
  }
  EXPECT_THAT(queue_.cancelled, ElementsAre(1U));
}

TEST_F(ApiTest, ReasoningIsApartFromContent) {
  queue_.answers = {"<think>\nA greeting.\n</think>\n\nHello."};
  const Json message = post("/v1/chat/completions", chat()).json()["choices"][0]["message"];
  EXPECT_EQ(message.at("reasoning_content"), "A greeting.");
  EXPECT_EQ(message.at("content"), "Hello.");
  const ReadReply stream = post("/v1/chat/completions", chat(R"({"stream": true})"));
  EXPECT_THAT(stream.body, HasSubstr("\"reasoning_content\":\""));
}

TEST_F(ApiTest, ToolCallsComeWholeAndInOrder) {
  queue_.answers = {std::string("Let me see.\n") + kCall + "\n" + kCall};
  const Json body = chat(std::string(R"({"tools": )") + kTools + "}");
  const Json choice = post("/v1/chat/completions", body).json()["choices"][0];
  EXPECT_EQ(choice.at("finish_reason"), "tool_calls");
  EXPECT_EQ(choice.at("message").at("content"), "Let me see.");
  const Json& calls = choice.at("message").at("tool_calls");
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].at("function").at("name"), "get_weather");
  EXPECT_EQ(Json::parse(calls[1].at("function").at("arguments").get<std::string>()),
            Json({{"city", "Tokyo"}}));
  EXPECT_NE(calls[0].at("id"), calls[1].at("id"));
}

TEST_F(ApiTest, StreamedToolCallsNameTheFunctionThenTheArguments) {
  queue_.answers = {kCall};
  const Json body = chat(std::string(R"({"stream": true, "tools": )") + kTools + "}");
  std::string name, arguments, reason;
  for (const auto& event : post("/v1/chat/completions", body).events()) {
    if (event.data == "[DONE]") continue;
    const Json choice = event.json()["choices"][0];
    if (choice["finish_reason"].is_string()) reason = choice["finish_reason"];
    if (!choice["delta"].contains("tool_calls")) continue;
    const Json call = choice["delta"]["tool_calls"][0];
    EXPECT_EQ(call.at("index"), 0);
    if (call.contains("id")) name = call["function"]["name"];
    arguments += call["function"]["arguments"].get<std::string>();
  }
  EXPECT_EQ(name, "get_weather");
  EXPECT_EQ(Json::parse(arguments), Json({{"city", "Tokyo"}}));
  EXPECT_EQ(reason, "tool_calls");
}

TEST_F(ApiTest, WithoutParallelCallsTheFirstOneEndsTheAnswer) {
  queue_.hold = true;
  const auto reply =
      open("POST", "/v1/chat/completions",
           chat(std::string(R"({"parallel_tool_calls": false, "tools": )") + kTools + "}").dump());
  reply->start([] {});
  queue_.write(1, 0, std::string(kCall) + "\n" + kCall);
  reply->pull(Clock::now());
  EXPECT_THAT(queue_.cancelled, ElementsAre(1U));
  const ReadReply read(*reply);
  const Json choice = read.json()["choices"][0];
  EXPECT_EQ(choice.at("message").at("tool_calls").size(), 1U);
  EXPECT_EQ(choice.at("finish_reason"), "tool_calls");
}

TEST_F(ApiTest, BrokenCallsAreContentAndNothingIsLost) {
  queue_.answers = {"<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\""};
  queue_.finish = FinishReason::kLength;
  const Json choice =
      post("/v1/chat/completions", chat(std::string(R"({"tools": )") + kTools + "}")).json()["choices"][0];
  EXPECT_EQ(choice.at("finish_reason"), "length");
  EXPECT_THAT(choice.at("message").at("content").get<std::string>(),
              AllOf(HasSubstr("<tool_call>"), HasSubstr("get_weather")));
}

TEST_F(ApiTest, ToolChoiceNoneOffersNoToolsAndParsesNone) {
  queue_.answers = {kCall};
  const ReadReply reply =
      post("/v1/chat/completions", chat(std::string(R"({"tool_choice": "none", "tools": )") + kTools + "}"));
  EXPECT_THAT(reply.json()["choices"][0]["message"]["content"].get<std::string>(), HasSubstr("<tool_call>"));
  const std::string prompt =
      demo_engine().tokenizer().decode(queue_.requests.at(0).prompt, DecodeOptions{.skip_special = false});
  EXPECT_THAT(prompt, Not(HasSubstr("get_weather")));
}

TEST_F(ApiTest, ChoicesKeepApart) {
  queue_.answers = {"One.", "Two."};
  const Json body = post("/v1/chat/completions", chat(R"({"n": 2, "seed": 7})")).json();
  EXPECT_EQ(body["choices"][0]["message"]["content"], "One.");
  EXPECT_EQ(body["choices"][1]["message"]["content"], "Two.");
  EXPECT_EQ(body["choices"][1]["index"], 1);
  EXPECT_EQ(queue_.requests.at(0).choices, 2U);
  EXPECT_EQ(queue_.requests.at(0).params.sampling.seed, 7U);
}

TEST_F(ApiTest, LogprobsCoverTheContent) {
  queue_.answers = {"<think>\nHm.\n</think>\n\nHello there."};
  const Json logprobs = post("/v1/chat/completions", chat(R"({"logprobs": true, "top_logprobs": 1})"))
                            .json()["choices"][0]["logprobs"];
  std::string text;
  for (const Json& token : logprobs.at("content")) {
    text += token.at("token").get<std::string>();
    EXPECT_EQ(token.at("logprob"), -0.5);
    EXPECT_EQ(token.at("top_logprobs").size(), 1U);
  }
  EXPECT_EQ(text, "Hello there.");
  EXPECT_EQ(queue_.requests.at(0).params.sampling.logprobs, 1U);
}

TEST_F(ApiTest, FieldsReachTheSampler) {
  post("/v1/chat/completions",
       chat(R"({"temperature": 0.5, "top_p": 0.25, "top_k": 7, "min_p": 0.125, "seed": 9,
      "presence_penalty": 1, "frequency_penalty": -1, "repetition_penalty": 1.5, "logit_bias": {"5": -100},
      "stop": ["a", "b"], "max_completion_tokens": 11, "max_tokens": 12})"));
  const GenerationParams& params = queue_.requests.at(0).params;
  EXPECT_EQ(params.sampling.temperature, 0.5F);
  EXPECT_EQ(params.sampling.top_p, 0.25F);
  EXPECT_EQ(params.sampling.top_k, 7U);
  EXPECT_EQ(params.sampling.min_p, 0.125F);
  EXPECT_EQ(params.sampling.seed, 9U);
  EXPECT_EQ(params.sampling.presence_penalty, 1);
  EXPECT_EQ(params.sampling.frequency_penalty, -1);
  EXPECT_EQ(params.sampling.repetition_penalty, 1.5F);
  ASSERT_EQ(params.sampling.logit_bias.size(), 1U);
  EXPECT_EQ(params.sampling.logit_bias[0].id, 5);
  EXPECT_THAT(params.stop, ElementsAre("a", "b"));
  EXPECT_EQ(params.max_tokens, 11U);
}

TEST_F(ApiTest, WrongFieldsAreNamed) {
  const auto error = [&](const char* more) { return post("/v1/chat/completions", chat(more)); };
  expect_error(error(R"({"temperature": "hot"})"), 400, "temperature", "must be number");
  expect_error(error(R"({"temperature": -1})"), 400, "temperature", "from 0 to 100");
  expect_error(error(R"({"n": 0})"), 400, "n", "from 1 to 16");
  expect_error(error(R"({"top_logprobs": 3})"), 400, "top_logprobs", "logprobs");
  expect_error(error(R"({"logit_bias": {"x": 1}})"), 400, "logit_bias", "no token id");
  expect_error(error(R"({"tool_choice": "required"})"), 400, "tool_choice", "no tools");
  expect_error(error(R"({"tool_choice": "maybe"})"), 400, "tool_choice", "none of");
  expect_error(error(R"({"tool_choice": {"type": "function", "function": {"name": "f"}}})"), 400,
               "tool_choice", "not among");
  expect_error(error(R"({"audio": {}})"), 400, "audio", "not supported");
  expect_error(error(R"({"modalities": ["text", "audio"]})"), 400, "modalities", "not supported");
  expect_error(error(R"({"reasoning_effort": "huge"})"), 400, "reasoning_effort", "none of");
  expect_error(error(R"({"response_format": {"type": "xml"}})"), 400, "response_format.type", "none of");
  expect_error(error(R"({"messages": []})"), 400, "messages", "");
  expect_error(post("/v1/chat/completions", Json::object()), 400, "messages", "is missing");
  EXPECT_EQ(error(R"({"modalities": ["text"], "audio": null, "store": true, "user": "u"})").head.status, 200);
}

TEST_F(ApiTest, UnknownFieldsAreReportedAndPassedOver) {
  const ReadReply reply = post("/v1/chat/completions", chat(R"({"max_token": 3})"));
  EXPECT_EQ(reply.head.status, 200);
  EXPECT_THAT(reply.header("x-ignored-fields"), ::testing::Pointee(std::string("max_token")));
}

TEST_F(ApiTest, BadHistoryNamesTheMessage) {
  const auto error = [&](const char* messages) {
    return post("/v1/chat/completions", {{"messages", Json::parse(messages)}});
  };
  expect_error(error(R"([{"role": "user", "content": "x"}, {"role": "robot", "content": "x"}])"), 400,
               "messages[1].role", "robot");
  expect_error(error(R"([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}])"), 400,
               "messages[0].content[0].type", "image_url");
  expect_error(error(R"([{"role": "user", "content": "x"}, {"role": "tool", "content": "x"}])"), 400,
               "messages[1].tool_call_id", "missing");
}

TEST_F(ApiTest, MalformedBodiesAreRefused) {
  const auto error = [&](const std::string& body) {
    const auto reply = open("POST", "/v1/chat/completions", body);
    return ReadReply(*reply);
  };
  for (const char* body : {"", "{", "[]", "null", "\"x\"", "{\"messages\": [}", "{\"a\": 1e999}"}) {
    EXPECT_EQ(error(body).head.status, 400) << body;
  }
  EXPECT_THAT(error(std::string(100000, '[')).body, HasSubstr("nested deeper"));
  EXPECT_EQ(error("{\"messages\": [{\"role\": \"user\", \"content\": \"\xff\"}]}").head.status, 400);
}

TEST_F(ApiTest, TooLongPromptsHaveTheCodeThatClientsLookFor) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "word ";
  const ReadReply reply =
      post("/v1/chat/completions", {{"messages", Json::array({{{"role", "user"}, {"content", text}}})}});
  EXPECT_EQ(reply.head.status, 400);
  EXPECT_EQ(reply.json()["error"]["code"], "context_length_exceeded");
}

TEST_F(ApiTest, FullQueuesAreStatus429) {
  queue_.refuse = Error(ErrorCode::kOverloaded, "64 requests wait already");
  const ReadReply reply = post("/v1/chat/completions", chat());
  EXPECT_EQ(reply.head.status, 429);
  EXPECT_THAT(reply.header("retry-after"), NotNull());
}

TEST_F(ApiTest, EngineErrorsEndTheStreamWithAnErrorEvent) {
  queue_.fail = Error(ErrorCode::kIo, "expert 3 of layer 1: short read");
  const auto events = post("/v1/chat/completions", chat(R"({"stream": true})")).events();
  ASSERT_GE(events.size(), 2U);
  EXPECT_EQ(events.back().data, "[DONE]");
  EXPECT_TRUE(events[events.size() - 2].json().contains("error"));
  EXPECT_EQ(post("/v1/chat/completions", chat()).head.status, 500);
}

TEST_F(ApiTest, FormsOfTheAnswerBecomeConstraints) {
  const auto constrained = [&](const std::string& more) {
    const ReadReply reply = post("/v1/chat/completions", chat(more));
    EXPECT_EQ(reply.head.status, 200) << more << reply.body;
    return queue_.requests.back().constraint != nullptr;
  };
  EXPECT_FALSE(constrained("{}"));
  EXPECT_FALSE(constrained(R"({"response_format": {"type": "text"}})"));
  EXPECT_TRUE(constrained(R"({"response_format": {"type": "json_object"}})"));
  EXPECT_TRUE(constrained(R"({"grammar": "root ::= \"a\""})"));
  EXPECT_TRUE(
      constrained(R"({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema":
      {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": false}}}})"));
  const std::string tools = std::string(R"("tools": )") + kTools + "}";
  EXPECT_TRUE(constrained("{" + tools));
  EXPECT_FALSE(constrained(R"({"tool_choice": "none", )" + tools));
  EXPECT_TRUE(constrained(R"({"tool_choice": "required", )" + tools));
  EXPECT_TRUE(
      constrained(R"({"tool_choice": {"type": "function", "function": {"name": "get_weather"}}, )" + tools));
}

TEST_F(ApiTest, FormsThatCannotBeEnforcedAreRefused) {
  const ReadReply schema = post("/v1/chat/completions", chat(R"({"response_format": {"type": "json_schema",
      "json_schema": {"name": "x", "schema": {"type": "object", "unevaluatedProperties": {"type": "widget"}}}}})"));
  EXPECT_EQ(schema.head.status, 400) << schema.body;
  EXPECT_THAT(schema.body, HasSubstr("response_format.json_schema.schema"));
  const ReadReply responses = post("/v1/responses", Json::parse(R"({"input": "x", "text": {"format":
      {"type": "json_schema", "name": "x", "schema": {"type": "widget"}}}})"));
  EXPECT_EQ(responses.head.status, 400) << responses.body;
  EXPECT_THAT(responses.body, HasSubstr("text.format.schema"));
  EXPECT_EQ(post("/v1/chat/completions", chat(R"({"grammar": "root ::= ("})")).head.status, 400);
}

TEST_F(ApiTest, CompletionsTakeTextsAndIds) {
  const Json body =
      post("/v1/completions", {{"prompt", Json::array({"Once", "Twice"})}, {"n", 2}, {"logprobs", 1}}).json();
  EXPECT_EQ(body.at("object"), "text_completion");
  ASSERT_EQ(body.at("choices").size(), 4U);
  EXPECT_EQ(body["choices"][3]["index"], 3);
  EXPECT_EQ(body["choices"][0]["text"], "Hello.");
  EXPECT_EQ(body["choices"][0]["logprobs"]["tokens"].size(),
            body["choices"][0]["logprobs"]["text_offset"].size());
  EXPECT_EQ(queue_.requests.size(), 2U);
  EXPECT_EQ(queue_.requests[0].params.max_tokens, 16U);
  post("/v1/completions", {{"prompt", Json::array({5, 6})}});
  EXPECT_THAT(queue_.requests[2].prompt, ElementsAre(5, 6));
  EXPECT_EQ(post("/v1/completions", {{"prompt", Json::array({5, 99999999})}}).head.status, 400);
  EXPECT_EQ(post("/v1/completions", {{"prompt", "x"}, {"echo", true}}).head.status, 400);
}

TEST_F(ApiTest, MessagesAnswerInBlocks) {
  queue_.answers = {"<think>\nHm.\n</think>\n\nLet me see.\n" + std::string(kCall)};
  const Json request = Json::parse(R"({"max_tokens": 100, "system": [{"type": "text", "text": "Be brief."}],
    "messages": [{"role": "user", "content": "Weather?"}],
    "tools": [{"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]})");
  const Json body = post("/v1/messages", request).json();
  EXPECT_EQ(body.at("type"), "message");
  EXPECT_EQ(body.at("stop_reason"), "tool_use");
  const Json& content = body.at("content");
  ASSERT_EQ(content.size(), 3U) << content;
  EXPECT_EQ(content[0].at("thinking"), "Hm.");
  EXPECT_TRUE(content[0].contains("signature"));
  EXPECT_EQ(content[1].at("text"), "Let me see.");
  EXPECT_EQ(content[2].at("input"), Json({{"city", "Tokyo"}}));
  EXPECT_THAT(content[2].at("id").get<std::string>(), StartsWith("toolu_"));
  EXPECT_EQ(body.at("usage").at("cache_read_input_tokens"), 3);
}

TEST_F(ApiTest, MessagesStreamOpensAndClosesEveryBlock) {
  queue_.answers = {"<think>\nHm.\n</think>\n\nText.\n" + std::string(kCall)};
  const Json request = Json::parse(R"({"max_tokens": 100, "stream": true,
    "messages": [{"role": "user", "content": "Weather?"}],
    "tools": [{"name": "get_weather", "input_schema": {"type": "object"}}]})");
  std::vector<std::string> order;
  std::string json;
  for (const auto& event : post("/v1/messages", request).events()) {
    EXPECT_EQ(event.json().at("type"), event.name);
    if (event.name == "ping") continue;
    std::string name = event.name;
    if (name == "content_block_start") name += ":" + event.json()["content_block"]["type"].get<std::string>();
    if (name == "content_block_delta") {
      if (event.json()["delta"]["type"] == "input_json_delta") json += event.json()["delta"]["partial_json"];
      continue;
    }
    order.push_back(name);
  }
  EXPECT_THAT(order,
              ElementsAre("message_start", "content_block_start:thinking", "content_block_stop",
                          "content_block_start:text", "content_block_stop", "content_block_start:tool_use",
                          "content_block_stop", "message_delta", "message_stop"));
  EXPECT_EQ(Json::parse(json), Json({{"city", "Tokyo"}}));
}

TEST_F(ApiTest, MessagesTakeAToolLoop) {
  const Json request = Json::parse(R"({"max_tokens": 10, "messages": [
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": "mach"},
      {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Tokyo"}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "sunny"}]},
      {"type": "text", "text": "And?"}]}],
    "tools": [{"name": "get_weather", "input_schema": {"type": "object"}}]})");
  EXPECT_EQ(post("/v1/messages", request).head.status, 200);
  const std::string prompt =
      demo_engine().tokenizer().decode(queue_.requests.at(0).prompt, DecodeOptions{.skip_special = false});
  EXPECT_THAT(prompt, AllOf(HasSubstr("<tool_call>"), HasSubstr("sunny"), HasSubstr("And?")));
}

TEST_F(ApiTest, MessagesErrorsHaveAnthropicsShapeAndWords) {
  ReadReply reply = post("/v1/messages", Json::parse(R"({"max_tokens": 10, "messages": [
    {"role": "user", "content": "x"}, {"role": "user", "content": [
      {"type": "tool_result", "tool_use_id": "no", "content": "x"}]}]})"));
  EXPECT_EQ(reply.head.status, 400);
  EXPECT_EQ(reply.json().at("type"), "error");
  EXPECT_EQ(reply.json().at("error").at("type"), "invalid_request_error");
  EXPECT_THAT(reply.json().at("error").at("message").get<std::string>(),
              StartsWith("messages[1].content[0]"));
  reply = post("/v1/messages", Json::parse(R"({"messages": [{"role": "user", "content": "x"}]})"));
  EXPECT_THAT(reply.body, HasSubstr("max_tokens: is missing"));
}

TEST_F(ApiTest, MessagesContinueAPrefilledAnswer) {
  const Json request = Json::parse(R"({"max_tokens": 10, "messages": [{"role": "user", "content": "JSON?"},
    {"role": "assistant", "content": "{\"name\":"}]})");
  EXPECT_EQ(post("/v1/messages", request).head.status, 200);
  const std::string prompt =
      demo_engine().tokenizer().decode(queue_.requests.at(0).prompt, DecodeOptions{.skip_special = false});
  EXPECT_THAT(prompt, ::testing::EndsWith("{\"name\":"));
}

TEST_F(ApiTest, CountTokensIsWhatThePromptWillHave) {
  const Json request = Json::parse(R"({"max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]})");
  post("/v1/messages", request);
  EXPECT_EQ(post("/v1/messages/count_tokens", request).json().at("input_tokens"),
            queue_.requests.at(0).prompt.size());
}

TEST_F(ApiTest, ResponsesAnswerInItems) {
  queue_.answers = {"<think>\nHm.\n</think>\n\nText.\n" + std::string(kCall)};
  const Json request = Json::parse(R"({"input": "Weather?", "instructions": "Be brief.",
    "include": ["reasoning.encrypted_content"],
    "tools": [{"type": "function", "name": "get_weather", "parameters": {"type": "object"}}]})");
  const Json body = post("/v1/responses", request).json();
  EXPECT_EQ(body.at("status"), "completed");
  const Json& output = body.at("output");
  ASSERT_EQ(output.size(), 3U) << output;
  EXPECT_EQ(output[0].at("content").at(0).at("text"), "Hm.");
  EXPECT_EQ(output[1].at("content").at(0).at("text"), "Text.");
  EXPECT_EQ(output[2].at("type"), "function_call");
  EXPECT_EQ(body.at("usage").at("input_tokens_details").at("cached_tokens"), 3);

  // Sent back, with reasoning only in its packed form, it is one message of the assistant.
  Json next = request;
  next["input"] = Json::array({{{"role", "user"}, {"content", "Weather?"}}});
  Json reasoning = output[0];
  reasoning.erase("content");
  next["input"].push_back(reasoning);
  next["input"].push_back(output[1]);
  next["input"].push_back(output[2]);
  next["input"].push_back(
      {{"type", "function_call_output"}, {"call_id", output[2].at("call_id")}, {"output", "sunny"}});
  EXPECT_EQ(post("/v1/responses", next).head.status, 200);
  const std::string prompt =
      demo_engine().tokenizer().decode(queue_.requests.at(1).prompt, DecodeOptions{.skip_special = false});
  EXPECT_THAT(prompt, AllOf(HasSubstr("Be brief."), HasSubstr("<tool_call>"), HasSubstr("sunny")));
}

TEST_F(ApiTest, ResponsesStreamIsNumberedAndEndsWithTheWhole) {
  queue_.answers = {"<think>\nHm.\n</think>\n\nText.\n" + std::string(kCall)};
  const Json request = Json::parse(R"({"input": "Weather?", "stream": true,
    "tools": [{"type": "function", "name": "get_weather", "parameters": {"type": "object"}}]})");
  std::vector<std::string> names;
  Json last;
  uint64_t number = 0;
  for (const auto& event : post("/v1/responses", request).events()) {
    last = event.json();
    EXPECT_EQ(last.at("sequence_number"), number++);
    if (names.empty() || names.back() != event.name) names.push_back(event.name);
  }
  EXPECT_EQ(names.front(), "response.created");
  EXPECT_EQ(names.back(), "response.completed");
  EXPECT_THAT(names, ::testing::IsSupersetOf({"response.reasoning_text.delta", "response.output_text.delta",
                                              "response.output_text.done", "response.content_part.done",
                                              "response.function_call_arguments.done"}));
  EXPECT_EQ(last.at("response").at("output").size(), 3U);
}

TEST_F(ApiTest, ResponsesRefuseWhatNeedsStorage) {
  expect_error(post("/v1/responses", {{"input", "x"}, {"previous_response_id", "resp_1"}}), 400,
               "previous_response_id", "nothing is stored");
  expect_error(post("/v1/responses", Json::parse(R"({"input": [{"type": "item_reference", "id": "x"}]})")),
               400, "input[0].type", "item_reference");
}

TEST_F(ApiTest, ModelsCapabilitiesAndHealthDescribeTheProcess) {
  EXPECT_EQ(get("/v1/models").json().at("data").at(0).at("id"), "demo");
  EXPECT_EQ(get("/v1/models/demo").json().at("object"), "model");
  EXPECT_EQ(get("/v1/models/other").head.status, 404);
  const Json capabilities = get("/v1/capabilities").json();
  EXPECT_TRUE(capabilities.at("arch_summary").contains("qwen3_moe"));
  EXPECT_EQ(capabilities.at("chat_format"), "qwen_json");
  EXPECT_EQ(get("/health").json().at("status"), "ok");
  EXPECT_EQ(get("/v1/stats").json().at("running"), 1);
  const Json caches = get("/v1/cache/stats").json();
  EXPECT_EQ(caches.at("prefix_cache").at("enabled"), true);
  EXPECT_EQ(caches.at("streaming_summary").at("residency"), "resident");
  EXPECT_EQ(caches.at("streaming_summary").at("direct_pread").at("mode"), "none");
}

TEST_F(ApiTest, MetricsCountTokensAndRefusals) {
  post("/v1/chat/completions", chat());
  post("/v1/chat/completions", Json::object());
  const std::string text = get("/metrics").body;
  EXPECT_THAT(text,
              AllOf(HasSubstr("mach_generations_total{route=\"/v1/chat/completions\",status=\"200\"} 1"),
                    HasSubstr("mach_http_refused_total{route=\"/v1/chat/completions\",status=\"400\"} 1"),
                    HasSubstr("mach_tokens_total{kind=\"cached\"} 3"), HasSubstr("mach_engine_running 1")));
}

TEST_F(ApiTest, TokenizeAndDetokenizeAreInverse) {
  const Json tokens = post("/v1/tokenize", {{"content", "Hello there"}}).json().at("tokens");
  EXPECT_EQ(post("/v1/detokenize", {{"tokens", tokens}}).json().at("content"), "Hello there");
  EXPECT_TRUE(
      post("/v1/tokenize", {{"content", "Hi"}, {"with_pieces", true}}).json()["tokens"][0].contains("piece"));
}

TEST_F(ApiTest, WarmPrefixKeepsOnlyWhatIsCertain) {
  const Json body =
      post("/v1/cache/warm_prefix", {{"system", "Answer briefly."}, {"tools", Json::parse(kTools)}}).json();
  EXPECT_EQ(body.at("object"), "cache.warm_prefix");
  ASSERT_EQ(queue_.requests.size(), 1U);
  EXPECT_TRUE(queue_.requests[0].prefill_only);
  const auto warm = queue_.requests[0].prompt;
  post("/v1/chat/completions",
       Json{{"tools", Json::parse(kTools)},
            {"messages", Json::parse(R"([{"role": "system", "content": "Answer briefly."},
                                       {"role": "user", "content": "Hello"}])")}});
  const auto whole = queue_.requests[1].prompt;
  ASSERT_LT(warm.size(), whole.size());
  EXPECT_TRUE(std::equal(warm.begin(), warm.end(), whole.begin()));
}

TEST_F(ApiTest, PathsAndMethodsThatAreNotThereAreSaidSo) {
  EXPECT_EQ(get("/").head.status, 404);
  EXPECT_EQ(get("/etc/passwd").head.status, 404);
  EXPECT_EQ(get("/v1/models/../../etc/passwd").head.status, 404);
  EXPECT_EQ(get("/v1/chat/completions").head.status, 405);
  EXPECT_EQ(get("/v1/models/").head.status, 200);
}

TEST(ApiKey, IsAskedForEverywhereButHealth) {
  ServedModel model(demo_engine(), "demo");
  ScriptedQueue queue(demo_engine().tokenizer());
  Api api(model, queue, {}, {});
  Router router(api.routes(), {{"secret"}, {}}, {});
  const auto status = [&](const std::string& path, std::vector<HttpHeader> headers) {
    HttpRequest request;
    request.method = "GET";
    request.path = path;
    request.headers = std::move(headers);
    const auto reply = router.handle(request);
    return ReadReply(*reply).head.status;
  };
  EXPECT_EQ(status("/v1/models", {}), 401);
  EXPECT_EQ(status("/nowhere", {}), 401);
  EXPECT_EQ(status("/v1/models", {{"Authorization", "Bearer secre"}}), 401);
  EXPECT_EQ(status("/v1/models", {{"Authorization", "Bearer secret"}}), 200);
  EXPECT_EQ(status("/v1/models", {{"x-api-key", "secret"}}), 200);
  EXPECT_EQ(status("/metrics", {}), 401);
  EXPECT_EQ(status("/health", {}), 200);
}

TEST(Cors, ForeignPagesAreRefusedUnlessAllowed) {
  ServedModel model(demo_engine(), "demo");
  ScriptedQueue queue(demo_engine().tokenizer());
  Api api(model, queue, {}, {});
  const auto read = [&](std::vector<std::string> allowed, const std::string& method,
                        std::vector<HttpHeader> headers) {
    Router router(api.routes(), {{}, std::move(allowed)}, {});
    HttpRequest request;
    request.method = method;
    request.path = "/v1/models";
    request.headers = std::move(headers);
    const auto reply = router.handle(request);
    return ReadReply(*reply);
  };
  EXPECT_EQ(read({}, "GET", {{"Origin", "https://evil.example"}}).head.status, 403);
  EXPECT_EQ(read({}, "GET", {{"Origin", "http://evil.example:80"}, {"Host", "evil.example:80"}}).head.status,
            403);
  EXPECT_EQ(read({}, "GET", {{"Origin", "http://localhost:80"}, {"Host", "localhost:80"}}).head.status, 200);
  const ReadReply allowed = read({"https://app.example"}, "GET", {{"Origin", "https://app.example"}});
  EXPECT_THAT(allowed.header("access-control-allow-origin"),
              ::testing::Pointee(std::string("https://app.example")));
  const ReadReply preflight = read({"*"}, "OPTIONS", {{"Origin", "https://app.example"}});
  EXPECT_EQ(preflight.head.status, 204);
  EXPECT_THAT(preflight.header("access-control-allow-methods"), NotNull());
}

}  // namespace
}  // namespace mach::server::testing
