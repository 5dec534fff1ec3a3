#include "text/chat/messages.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mach/error.h"

#include "support/shared_dir.h"

namespace mach {
namespace {

using ::testing::StartsWith;

ChatJson normalise(const char* messages, std::string_view format = "qwen_json") {
  return normalise_messages(ChatJson::parse(messages), *find_chat_format(format));
}

// dump() shows key order, which templates print.
void expect_messages(const ChatJson& got, const char* wanted) {
  EXPECT_EQ(got.dump(1), ChatJson::parse(wanted).dump(1));
}

template <class Action>
std::string refusal(Action action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidRequest);
    return error.what();
  }
  return "accepted";
}

TEST(Messages, PassesASimpleConversationThrough) {
  const char* messages = R"([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
                             {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Bye"}])";
  expect_messages(normalise(messages), messages);
}

TEST(Messages, MakesTextOfPartsAndDropsWhatTemplatesDoNotKnow) {
  expect_messages(
      normalise(
          R"([{"content": [{"type": "text", "text": "a"}, {"text": "b", "type": "input_text"}], "name": "x",
                                 "role": "user", "tool_responses": []},
                                {"role": "user", "content": []},
                                {"role": "assistant", "content": null, "tool_calls": [], "refusal": null},
                                {"role": "assistant"}])"),
      R"([{"role": "user", "content": "a\nb"}, {"role": "user", "content": ""}, {"role": "assistant", "content": ""},
                      {"role": "assistant", "content": ""}])");
}

TEST(Messages, GathersSystemTextInFront) {
  expect_messages(normalise(R"([{"role": "user", "content": "Hi"}, {"role": "developer", "content": "One."},
                                {"role": "system", "content": [{"type": "text", "text": "Two."}]}])"),
                  R"([{"role": "system", "content": "One.\n\nTwo."}, {"role": "user", "content": "Hi"}])");
}

TEST(Messages, ReadsReasoningUnderItsThreeNames) {
  expect_messages(
      normalise(R"([{"role": "user", "content": "?"}, {"role": "assistant", "content": "a", "reasoning": "r"},
                                {"role": "assistant", "content": "b", "thinking": "t", "reasoning_content": null},
                                {"role": "assistant", "content": "c", "reasoning_content": ""}])"),
      R"([{"role": "user", "content": "?"}, {"role": "assistant", "content": "a", "reasoning_content": "r"},
                      {"role": "assistant", "content": "b", "reasoning_content": "t"}, {"role": "assistant", "content": "c"}])");
}

constexpr const char* kTwoCalls = R"([
  {"role": "user", "content": "Two cities"},
  {"role": "assistant", "content": "Sure.", "reasoning_content": "Tool.", "tool_calls": [
    {"id": "a", "type": "function", "function": {"name": "get", "arguments": "{\"z\": 1.50, \"a\": {\"d\": null, \"c\": []}}"}},
    {"id": "b", "function": {"name": "put", "arguments": ""}}]},
  {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "rainy"}]},
  {"role": "tool", "tool_call_id": "a", "name": "wrong", "content": "sunny"},
  {"role": "user", "content": "Thanks"}])";

TEST(Messages, MakesObjectsOfArgumentsAndOrdersAnswers) {
  expect_messages(normalise(kTwoCalls), R"([
    {"role": "user", "content": "Two cities"},
    {"role": "assistant", "content": "Sure.", "reasoning_content": "Tool.", "tool_calls": [
      {"id": "a", "type": "function", "function": {"name": "get", "arguments": {"z": 1.5, "a": {"d": null, "c": []}}}},
      {"id": "b", "type": "function", "function": {"name": "put", "arguments": {}}}]},
    {"role": "tool", "content": "sunny", "tool_call_id": "a", "name": "get"},
    {"role": "tool", "content": "rainy", "tool_call_id": "b", "name": "put"},
    {"role": "user", "content": "Thanks"}])");
}

TEST(Messages, SplitsCallsForHarmony) {
  expect_messages(normalise(kTwoCalls, "harmony"), R"([
    {"role": "user", "content": "Two cities"},
    {"role": "assistant", "content": "", "reasoning_content": "Tool.\nSure.", "thinking": "Tool.\nSure.", "tool_calls": [
      {"id": "a", "type": "function", "function": {"name": "get", "arguments": {"z": 1.5, "a": {"d": null, "c": []}}}}]},
    {"role": "tool", "content": "sunny", "tool_call_id": "a", "name": "get"},
    {"role": "assistant", "content": "", "tool_calls": [
      {"id": "b", "type": "function", "function": {"name": "put", "arguments": {}}}]},
    {"role": "tool", "content": "rainy", "tool_call_id": "b", "name": "put"},
    {"role": "user", "content": "Thanks"}])");
}

TEST(Messages, HarmonyCallsWithoutAnswersStay) {
  expect_messages(normalise(R"([{"role": "user", "content": "?"}, {"role": "assistant", "tool_calls": [
                                 {"id": "a", "function": {"name": "f"}}, {"id": "b", "function": {"name": "g"}}]}])",
                            "harmony"),
                  R"([{"role": "user", "content": "?"},
                      {"role": "assistant", "content": "", "tool_calls": [
                        {"id": "a", "type": "function", "function": {"name": "f", "arguments": {}}}]},
                      {"role": "assistant", "content": "", "tool_calls": [
                        {"id": "b", "type": "function", "function": {"name": "g", "arguments": {}}}]}])");
}

TEST(Messages, AnAnswerMeansTheLatestCallOfThatId) {
  const ChatJson result = normalise(R"([{"role": "user", "content": "?"},
    {"role": "assistant", "tool_calls": [{"id": "call_0", "function": {"name": "f"}}]},
    {"role": "tool", "tool_call_id": "call_0", "content": "1"},
    {"role": "assistant", "tool_calls": [{"id": "call_0", "function": {"name": "g"}}]},
    {"role": "tool", "tool_call_id": "call_0", "content": "2"}])");
  EXPECT_EQ(result[2]["name"], "f");
  EXPECT_EQ(result[4]["name"], "g");
}

TEST(Messages, NamesTheFieldAtFault) {
  struct Row {
    const char* messages;
    const char* error;
  };
  const Row rows[] = {
      {"{}", "messages: must be a non-empty array"},
      {"[]", "messages: must be a non-empty array"},
      {"null", "messages: must be a non-empty array"},
      {"[5]", "messages[0]: must be an object"},
      {R"([{"content": "x"}])", "messages[0].role: is missing"},
      {R"([{"role": 5}])", "messages[0].role: must be a string"},
      {R"([{"role": "function", "content": "x"}])", "messages[0].role: \"function\" is unknown"},
      {R"([{"role": "user"}])", "messages[0].content: is missing"},
      {R"([{"role": "system", "content": null}])", "messages[0].content: is missing"},
      {R"([{"role": "user", "content": 5}])",
       "messages[0].content: must be a string or an array of text parts"},
      {R"([{"role": "user", "content": ["x"]}])", "messages[0].content[0]: must be an object"},
      {R"([{"role": "user", "content": [{"text": "x"}]}])", "messages[0].content[0].type: is missing"},
      {R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}])",
       "messages[0].content[1].type: \"image_url\" is not supported"},
      {R"([{"role": "user", "content": [{"type": "text"}]}])", "messages[0].content[0].text: is missing"},
      {R"([{"role": "user", "content": [{"type": "text", "text": 1}]}])",
       "messages[0].content[0].text: must be a string"},
      {R"([{"role": "assistant", "content": "", "reasoning": 1}])",
       "messages[0].reasoning: must be a string"},
      {R"([{"role": "assistant", "tool_calls": {}}])", "messages[0].tool_calls: must be an array"},
      {R"([{"role": "assistant", "tool_calls": [1]}])", "messages[0].tool_calls[0]: must be an object"},
      {R"([{"role": "assistant", "tool_calls": [{"type": "custom"}]}])",
       "messages[0].tool_calls[0].type: must be"},
      {R"([{"role": "assistant", "tool_calls": [{}]}])",
       "messages[0].tool_calls[0].function: must be an object"},
      {R"([{"role": "assistant", "tool_calls": [{"function": {}}]}])",
       "messages[0].tool_calls[0].function.name: is missing"},
      {R"([{"role": "user", "content": ""}, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}])",
       "messages[1].tool_calls[0].function.arguments: must be a JSON object"},
      {R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}])",
       "messages[0].tool_calls[0].function.arguments: must be a JSON object"},
      {R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{\"a\": 1e999}"}}]}])",
       "messages[0].tool_calls[0].function.arguments: must be a JSON object"},
      {R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 5}}]}])",
       "messages[0].tool_calls[0].function.arguments: must be a JSON object"},
      {R"([{"role": "tool", "content": "x"}])", "messages[0].tool_call_id: is missing"},
      {R"([{"role": "tool", "tool_call_id": "", "content": "x"}])", "messages[0].tool_call_id: is missing"},
      {R"([{"role": "tool", "tool_call_id": "q\n", "content": "x"}])",
       "messages[0].tool_call_id: \"q?\" is not the id of a call"},
  };
  for (const Row& row : rows)
    EXPECT_THAT(refusal([&] { normalise(row.messages); }), StartsWith(row.error)) << row.messages;
}

TEST(Messages, BoundsNesting) {
  ChatJson deep = ChatJson::object();
  for (int i = 0; i < 1000; ++i) deep = ChatJson{{"a", std::move(deep)}};
  const ChatJson call = {{"function", {{"name", "f"}, {"arguments", deep}}}};
  const ChatJson messages =
      ChatJson::array({{{"role", "assistant"}, {"tool_calls", ChatJson::array({call})}}});
  EXPECT_THAT(refusal([&] { normalise_messages(messages, *find_chat_format("qwen_json")); }),
              StartsWith("messages[0].tool_calls[0].function.arguments: is nested deeper than"));
  const ChatJson tools =
      ChatJson::array({{{"type", "function"}, {"function", {{"name", "f"}, {"parameters", deep}}}}});
  EXPECT_THAT(refusal([&] { normalise_tools(tools); }), StartsWith("tools[0]: is nested deeper than"));
}

TEST(Tools, PassUnchanged) {
  const ChatJson tools = ChatJson::parse(
      R"([{"type": "function", "function": {"parameters": {"type": "object"}, "name": "a.b-c_1",
    "strict": true}}, {"function": {"name": "g", "description": "d"}, "type": "function"}])");
  EXPECT_EQ(normalise_tools(tools).dump(), tools.dump());
  EXPECT_EQ(normalise_tools(nullptr).dump(), "[]");
}

TEST(Tools, NameTheFieldAtFault) {
  struct Row {
    const char* tools;
    const char* error;
  };
  const Row rows[] = {
      {"5", "tools: must be an array"},
      {"[5]", "tools[0]: must be an object"},
      {R"([{"function": {"name": "f"}}])", "tools[0].type: must be \"function\""},
      {R"([{"type": "web_search"}])", "tools[0].type: must be \"function\""},
      {R"([{"type": "function"}])", "tools[0].function: must be an object"},
      {R"([{"type": "function", "function": {}}])", "tools[0].function.name: is missing"},
      {R"([{"type": "function", "function": {"name": ""}}])",
       "tools[0].function.name: \"\" must be 1 to 128"},
      {R"([{"type": "function", "function": {"name": "a b"}}])", "tools[0].function.name: \"a b\" must be"},
      {R"([{"type": "function", "function": {"name": "f", "description": 1}}])",
       "tools[0].function.description: must be a string"},
      {R"([{"type": "function", "function": {"name": "f", "parameters": []}}])",
       "tools[0].function.parameters: must be a JSON schema"},
      {R"([{"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "f"}}])",
       "tools[1].function.name: \"f\" is declared twice"},
  };
  for (const Row& row : rows) {
    EXPECT_THAT(refusal([&] { normalise_tools(ChatJson::parse(row.tools)); }), StartsWith(row.error))
        << row.tools;
  }
}

// The inputs of the published renderings are already in the shape that templates want: an OpenAI client's form of them must
// come back to it.
TEST(Messages, ClientFormOfTheTemplateFixturesComesBack) {
  const auto shared = testing::shared_dir();
  if (!shared) GTEST_SKIP() << testing::kNoSharedDir;
  std::ifstream file(*shared / "fixtures" / "chat_templates" / "golden.json");
  const ChatJson golden = ChatJson::parse(file);
  for (const auto& [name, input] : golden["inputs"].items()) {
    ChatJson sent = input["messages"];
    for (ChatJson& message : sent) {
      if (message["role"] == "system") message["role"] = "developer";
      message["content"] = ChatJson::array({{{"type", "text"}, {"text", message["content"]}}});
      if (!message.contains("tool_calls")) continue;
      for (ChatJson& call : message["tool_calls"])
        call["function"]["arguments"] = call["function"]["arguments"].dump();
    }
    const ChatJson got = normalise_messages(sent, *find_chat_format("qwen_xml"));
    // Keys come in our order: compare as values.
    EXPECT_EQ(nlohmann::json::parse(got.dump()), nlohmann::json::parse(input["messages"].dump())) << name;
    if (input.contains("tools")) {
      EXPECT_EQ(normalise_tools(input["tools"]), input["tools"]) << name;
    }
  }
}

}  // namespace
}  // namespace mach
