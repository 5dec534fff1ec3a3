#include "text/grammar/output_constraint.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "support/shared_dir.h"
#include "text/chat/tool_schemas.h"

namespace mach {
namespace {

using Answer = ConstraintRequest::Answer;
using Tools = ConstraintRequest::Tools;

nlohmann::ordered_json weather_tools(bool strict) {
  auto tools = nlohmann::ordered_json::parse(R"([
    {"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{
      "city":{"type":"string"},"days":{"type":"integer","minimum":1,"maximum":9},"unit":{"type":"string","enum":["C","F"]},
      "tags":{"type":"array","items":{"type":"string"}}},"required":["city","days"]}}},
    {"type":"function","function":{"name":"ping"}}])");
  if (strict) tools[0]["function"]["strict"] = true;
  return tools;
}

// The tokenizer and format of a mini checkpoint of the family.
struct Family {
  Tokenizer tokenizer;
  const ChatFormat* format;
  OutputConstraints constraints;

  Family(const std::filesystem::path& folder, std::string_view name)
      : tokenizer(Tokenizer::open(folder / "tokenizer.json")),
        format(find_chat_format(name)),
        constraints(tokenizer, format, stops()) {}

  std::vector<TokenId> stops() const {
    std::vector<TokenId> ids;
    for (const std::string_view token : stop_tokens(*format, true)) {
      if (const auto id = tokenizer.token_to_id(token)) ids.push_back(*id);
    }
    return ids;
  }

  // Whether the constraint lets the model write this and end there.
  bool admits(const ConstraintRequest& request, const std::string& text) const {
    const auto constraint = constraints.make(request);
    for (const TokenId id : tokenizer.encode(text, {.add_special_tokens = false})) {
      const auto mask = constraint->allowed();
      if (((mask[static_cast<size_t>(id) / 32] >> (id % 32)) & 1) == 0) return false;
      constraint->accept(id);
    }
    return constraint->can_stop();
  }
};

struct FamilyRow {
  const char* name;
  const char* folder;
  const char* format;
  std::vector<std::string> calls;    // of get_weather with its required arguments
  std::vector<std::string> refused;  // under tool_choice required
  const char* reasoning;             // a prefix
};

const std::vector<FamilyRow>& families() {
  static const std::vector<FamilyRow> kRows = {
      {"qwen3",
       "mini-qwen3_moe",
       "qwen_json",
       {"<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": "
        "3}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"A\\\"b\", \"days\": 3, "
        "\"unit\": \"F\"}}\n"
        "</tool_call>\n<tool_call>\n{\"name\": \"ping\", \"arguments\": {}}\n</tool_call>"},
       {"Hello", "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"days\": 3}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"other\", \"arguments\": {}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": "
        "30}}\n</tool_call>"},
       "<think>\nLet me see.\n</think>\n\n"},
      {"qwen3_5",
       "mini-qwen3_5_moe",
       "qwen_xml",
       {"<tool_call>\n<function=get_weather>\n<parameter=city>\nNew\nYork "
        "<b>\n</parameter>\n<parameter=days>\n3\n"
        "</parameter>\n</function>\n</tool_call>",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nX\n</parameter>\n<parameter=days>\n9\n</"
        "parameter>\n"
        "<parameter=unit>\nC\n</parameter>\n<parameter=tags>\n[\"a\"]\n</parameter>\n</function>\n</"
        "tool_call>"},
       {"<tool_call>\n<function=get_weather>\n</function>\n</tool_call>",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nnull\n</parameter>\n<parameter=days>\n3\n</"
        "parameter>\n"
        "</function>\n</tool_call>",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nX\n</parameter>\n<parameter=days>\nX\n</"
        "parameter>\n"
        "</function>\n</tool_call>"},
       "<think>\nHm.\n</think>\n\n"},
      {"gpt_oss",
       "mini-gpt_oss",
       "harmony",
       {"<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{\"city\": \"Rome\", "
        "\"days\": 2}<|call|>"},
       {"<|channel|>final<|message|>Hello<|return|>",
        "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{\"city\": 5}<|call|>"},
       "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"},
      {"gemma4",
       "mini-gemma4",
       "gemma4",
       {"<|tool_call>call:get_weather{city:<|\"|>São \"Paulo\"<|\"|>,days:3}<tool_call|>",
        "<|tool_call>call:get_weather{city:<|\"|>X<|\"|>,days:3,unit:<|\"|>C<|\"|>,tags:[<|\"|>a<|\"|>,<|\"|>"
        "b<|\"|>]}"
        "<tool_call|><|tool_call>call:ping{}<tool_call|>"},
       {"<|tool_call>call:get_weather{city:3,days:3}<tool_call|>",
        "<|tool_call>call:get_weather{days:3}<tool_call|>"},
       "<|channel>thought\nHm.\n<channel|>"},
      {"deepseek_v4",
       "mini-deepseek_v4",
       "dsml",
       {"<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"get_weather\">\n<｜DSML｜parameter name=\"city\" "
        "string=\"true\">Par\nis</｜DSML｜parameter>\n<｜DSML｜parameter name=\"days\" string=\"false\">3"
        "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>"},
       {"<｜DSML｜tool_calls>\n<｜DSML｜invoke "
        "name=\"get_weather\">\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>"},
       "<think>Hm.</think>"},
  };
  return kRows;
}

class OutputFamilies : public ::testing::TestWithParam<FamilyRow> {
 protected:
  void SetUp() override {
    const auto shared = testing::shared_dir();
    if (!shared) GTEST_SKIP() << testing::kNoSharedDir;
    family_.emplace(*shared / "models" / GetParam().folder, GetParam().format);
  }
  std::optional<Family> family_;
};

class NoEvents : public EventSink {
 public:
  void on_event(const OutputEvent&) override {}
};

TEST_P(OutputFamilies, RequiredCallsAreThoseTheParserReads) {
  ConstraintRequest request{.tool_choice = Tools::kRequired, .tools = weather_tools(false)};
  for (const std::string& text : GetParam().calls) {
    EXPECT_TRUE(family_->admits(request, text)) << text;
    EXPECT_TRUE(family_->admits(request, GetParam().reasoning + text)) << text;
    const ToolSchemas schemas(request.tools);
    const auto parser = make_output_parser(*family_->format, {.tools = &schemas});
    NoEvents sink;
    parser->push({.text = text}, sink);
    const ParsedMessage message = parser->finish(Ending::kStopped, sink);
    ASSERT_FALSE(message.tool_calls.empty()) << text;
    EXPECT_EQ(message.tool_calls[0].name, "get_weather");
    const auto arguments = nlohmann::json::parse(message.tool_calls[0].arguments);
    EXPECT_TRUE(arguments["city"].is_string() && arguments["days"].is_number_integer()) << arguments;
  }
  for (const std::string& text : GetParam().refused) EXPECT_FALSE(family_->admits(request, text)) << text;
}

TEST_P(OutputFamilies, NamedCallsAreOfThatTool) {
  ConstraintRequest request{
      .tool_choice = Tools::kNamed, .tools = weather_tools(false), .named_tool = "ping"};
  for (const std::string& text : GetParam().calls) EXPECT_FALSE(family_->admits(request, text)) << text;
  request.named_tool = "get_weather";
  request.parallel_tool_calls = false;
  EXPECT_TRUE(family_->admits(request, GetParam().calls[0]));
  request.named_tool = "nothing";
  EXPECT_THROW(family_->constraints.make(request), Error);
}

TEST_P(OutputFamilies, StrictToolsBindCallsButNotText) {
  ConstraintRequest request{.tool_choice = Tools::kAuto, .tools = weather_tools(true)};
  const bool harmony = std::string_view(GetParam().format) == "harmony";
  EXPECT_TRUE(
      family_->admits(request, harmony ? "<|channel|>final<|message|>Just text.<|return|>" : "Just text."));
  EXPECT_TRUE(family_->admits(request, GetParam().calls[0]));
  EXPECT_FALSE(family_->admits(request, GetParam().refused.back()));
  if (!harmony) {
    EXPECT_TRUE(family_->admits(request, "I will look." + GetParam().calls[0]));
  }
}

TEST_P(OutputFamilies, OtherToolsKeepTheirNamesAndFormButNotTheirSchemas) {
  ConstraintRequest request{.tool_choice = Tools::kAuto, .tools = weather_tools(false)};
  const bool harmony = std::string_view(GetParam().format) == "harmony";
  EXPECT_TRUE(
      family_->admits(request, harmony ? "<|channel|>final<|message|>Just text.<|return|>" : "Just text."));
  for (const std::string& text : GetParam().calls) EXPECT_TRUE(family_->admits(request, text)) << text;
  std::string unknown = GetParam().calls[0];
  unknown.replace(unknown.find("get_weather"), std::string_view("get_weather").size(), "get_time");
  EXPECT_FALSE(family_->admits(request, unknown)) << unknown;
  request.chat = false;  // a plain completion has no form of calls
  EXPECT_EQ(family_->constraints.make(request), nullptr);
}

TEST_P(OutputFamilies, AnswersFollowTheSchemaAfterReasoning) {
  ConstraintRequest request{.answer = Answer::kJsonSchema};
  request.schema = nlohmann::ordered_json::parse(
      R"({"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]})");
  const bool harmony = std::string_view(GetParam().format) == "harmony";
  const std::string open = harmony ? "<|channel|>final<|message|>" : "";
  const std::string close = harmony ? "<|return|>" : "";
  EXPECT_TRUE(family_->admits(request, open + "{\"a\": 1}" + close));
  EXPECT_TRUE(family_->admits(request, GetParam().reasoning + open + "{\"a\": 1}" + close));
  EXPECT_FALSE(family_->admits(request, open + "{\"b\": 1}" + close));
  EXPECT_FALSE(family_->admits(request, open + "Sure: {\"a\": 1}" + close));
  request.may_reason = false;
  EXPECT_FALSE(family_->admits(request, GetParam().reasoning + open + "{\"a\": 1}" + close));
}

INSTANTIATE_TEST_SUITE_P(All, OutputFamilies, ::testing::ValuesIn(families()),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace mach
