// Recorded replies of the mini checkpoints, and renderings of the published templates, parsed back into what went in.
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include <gtest/gtest.h>

#include "base/utf8.h"
#include "support/shared_dir.h"
#include "text/chat/parser_test_support.h"

namespace mach {
namespace {

using Json = nlohmann::ordered_json;

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Just enough of a tokenizer to give each token its bytes.
class TokenBytes {
 public:
  explicit TokenBytes(const Json& tokenizer) {
    const bool byte_level = tokenizer["decoder"]["type"] == "ByteLevel";
    for (const auto& [token, id] : tokenizer["model"]["vocab"].items()) {
      bytes_[id.get<int32_t>()] = byte_level ? byte_level_bytes(token) : sentence_bytes(token);
    }
    for (const Json& token : tokenizer["added_tokens"]) {
      bytes_[token["id"].get<int32_t>()] = token["content"].get<std::string>();
      ids_[token["content"].get<std::string>()] = token["id"].get<int32_t>();
    }
  }

  std::string_view bytes(int32_t id) const { return bytes_.at(id); }
  int32_t id(std::string_view token) const {
    const auto found = ids_.find(token);
    return found == ids_.end() ? -1 : found->second;
  }

 private:
  // GPT-2's alphabet: printable bytes stand for themselves, the others for U+0100 onwards in order.
  static std::string byte_level_bytes(std::string_view token) {
    std::string bytes;
    while (!token.empty()) {
      const Utf8Char next = decode_utf8(token);
      token.remove_prefix(next.length);
      if (next.code_point < 0x100) {
        bytes.push_back(static_cast<char>(next.code_point));
        continue;
      }
      char32_t left = next.code_point - 0x100;
      for (unsigned byte = 0; byte < 0x100; ++byte) {
        const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
        if (!printable && left-- == 0) bytes.push_back(static_cast<char>(byte));
      }
    }
    return bytes;
  }

  static std::string sentence_bytes(std::string_view token) {
    if (token.size() == 6 && token.starts_with("<0x")) {
      return std::string(1, static_cast<char>(std::stoi(std::string(token.substr(3, 2)), nullptr, 16)));
    }
    std::string bytes(token);
    constexpr std::string_view kSpace = "▁";
    for (size_t at = bytes.find(kSpace); at != std::string::npos; at = bytes.find(kSpace, at)) {
      bytes.replace(at, kSpace.size(), " ");
    }
    return bytes;
  }

  std::map<int32_t, std::string> bytes_;
  std::map<std::string, int32_t, std::less<>> ids_;
};

// What the reply says apart from syntax, found by plain search.
std::string expected_content(std::string text) {
  for (const std::string_view stop : {"<|im_end|>", "<|return|>", "<turn|>", "<｜end▁of▁sentence｜>"}) {
    if (text.ends_with(stop)) text.resize(text.size() - stop.size());
  }
  for (const std::string_view opening : {"<|message|>", "</think>\n\n", "</think>", "<channel|>"}) {
    if (const size_t at = text.rfind(opening); at != std::string::npos) text.erase(0, at + opening.size());
  }
  return text;
}

class MiniGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(MiniGolden, RecordedRepliesParse) {
  const auto shared = testing::shared_dir();
  if (!shared) GTEST_SKIP() << testing::kNoSharedDir;
  const std::filesystem::path folder = *shared / "models" / (std::string("mini-") + GetParam());
  const Json config = Json::parse(read_text(folder / "config.json"));
  const TokenBytes tokens(Json::parse(read_text(folder / "tokenizer.json")));
  const ChatFormat* format = detect_chat_format("", read_text(folder / "chat_template.jinja"));
  ASSERT_NE(format, nullptr);
  EXPECT_EQ(format, detect_chat_format(config["model_type"].get<std::string>(), ""));

  size_t calls = 0;
  size_t thoughts = 0;
  const Json golden = Json::parse(read_text(folder / "golden.json"));
  for (const Json& prompt : golden["prompts"]) {
    const std::string text = prompt["greedy_text"].get<std::string>();
    SCOPED_TRACE(text);
    const ToolSchemas tools(prompt["tools"]);
    ParserOptions options;
    options.tools = &tools;
    options.starts_in_reasoning = starts_in_reasoning(*format, prompt["rendered"].get<std::string>());
    // Only these two templates open the reasoning themselves.
    EXPECT_EQ(options.starts_in_reasoning, prompt["enable_thinking"].get<bool>() &&
                                               (format->name == "qwen_xml" || format->name == "dsml"));

    const ParsedMessage by_text = testing::parse_every_way(*format, options, text, Ending::kStopped);
    std::vector<TokenPiece> pieces;
    for (const Json& id : prompt["greedy_ids"])
      pieces.push_back({id.get<int32_t>(), tokens.bytes(id.get<int32_t>())});
    options.marker_id = [&tokens](std::string_view name) { return tokens.id(name); };
    const ParsedMessage by_id = testing::parse_pieces(*format, options, pieces, Ending::kStopped);
    EXPECT_EQ(testing::describe(by_id), testing::describe(by_text));
    // A decoder that drops special tokens must change nothing.
    for (TokenPiece& piece : pieces) {
      if (tokens.id(piece.text) == piece.id) piece.text = {};
    }
    if (format->name != "dsml") {  // its tags are made of text and one such token
      EXPECT_EQ(testing::describe(testing::parse_pieces(*format, options, pieces, Ending::kStopped)),
                testing::describe(by_id));
    }

    if (!by_id.reasoning.empty()) ++thoughts;
    if (prompt["tools"].is_null()) {
      EXPECT_EQ(by_id.content, expected_content(text));
      EXPECT_TRUE(by_id.tool_calls.empty());
      continue;
    }
    ++calls;
    EXPECT_EQ(by_id.content, "");
    EXPECT_EQ(by_id.finish, FinishHint::kToolCalls);
    ASSERT_EQ(by_id.tool_calls.size(), 1U);
    EXPECT_EQ(by_id.tool_calls[0].name, "get_weather");
    EXPECT_EQ(Json::parse(by_id.tool_calls[0].arguments), Json::parse(R"({"city": "Tokyo"})"));
  }
  EXPECT_EQ(calls, 1U);
  if (format->name == "dsml") {
    EXPECT_GE(thoughts, 1U);
  }
}

INSTANTIATE_TEST_SUITE_P(All, MiniGolden,
                         ::testing::Values("qwen3_moe", "qwen3_moe-mlx-4bit", "qwen3_5_moe", "gpt_oss",
                                           "gpt_oss-mxfp4", "gemma4", "gemma4-mlx-4bit", "deepseek_v4",
                                           "deepseek_v4-fp8-fp4"),
                         [](const auto& test) {
                           std::string name = test.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

// The text between the beginning of the first model turn and the end of it, as generation would have produced it.
std::string first_model_turn(const ChatFormat& format, const std::string& rendered) {
  const size_t at = rendered.find(format.turn_open);
  if (at == std::string::npos) return {};
  std::string turn = rendered.substr(at + format.turn_open.size());
  for (const std::string_view end :
       {"<|im_end|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "<|start|>functions."}) {
    turn = turn.substr(0, turn.find(end));
  }
  if (turn.starts_with('\n')) turn.erase(0, 1);
  return turn;
}

TEST(PublishedTemplates, RenderedCallsParseBack) {
  const auto shared = testing::shared_dir();
  if (!shared) GTEST_SKIP() << testing::kNoSharedDir;
  const std::filesystem::path folder = *shared / "fixtures" / "chat_templates";
  const Json golden = Json::parse(read_text(folder / "golden.json"));
  const std::map<std::string, std::string> formats = {{"qwen3", "qwen_json"},  {"qwen3_coder", "qwen_xml"},
                                                      {"qwen3_5", "qwen_xml"}, {"gpt_oss", "harmony"},
                                                      {"gemma4", "gemma4"},    {"deepseek_v4", "dsml"}};
  size_t checked = 0;
  for (const auto& [name, format_name] : formats) {
    const ChatFormat* format = detect_chat_format("", read_text(folder / (name + ".jinja")));
    ASSERT_NE(format, nullptr) << name;
    EXPECT_EQ(format->name, format_name) << name;
    for (const char* test :
         {"tool_call_history", "tool_call_text", "parallel_calls", "call_with_reasoning"}) {
      SCOPED_TRACE(name + " " + test);
      const Json& input = golden["inputs"][test];
      const Json& assistant = input["messages"][1];
      const ToolSchemas tools(input["tools"]);
      ParserOptions options;
      options.tools = &tools;
      const std::string turn =
          first_model_turn(*format, golden["templates"][name]["cases"][test]["ok"].get<std::string>());
      ASSERT_FALSE(turn.empty());
      const ParsedMessage message = testing::parse_every_way(*format, options, turn, Ending::kStopped);
      // Harmony's template shows one call per message.
      const size_t count = format->one_call_per_message ? 1 : assistant["tool_calls"].size();
      ASSERT_EQ(message.tool_calls.size(), count) << turn;
      for (size_t i = 0; i < count; ++i) {
        const Json& function = assistant["tool_calls"][i]["function"];
        EXPECT_EQ(message.tool_calls[i].name, function["name"]);
        EXPECT_EQ(nlohmann::json::parse(message.tool_calls[i].arguments),
                  nlohmann::json(function["arguments"]));
        ++checked;
      }
      if (format->name != "gemma4" && format->name != "harmony") {  // these put it elsewhere, or drop it
        EXPECT_EQ(message.content, assistant["content"].get<std::string>());
      }
      const bool keeps_reasoning = name != "qwen3_coder" && name != "gpt_oss";
      if (keeps_reasoning) {
        EXPECT_EQ(message.reasoning, assistant.value("reasoning_content", ""));
      }
    }
  }
  EXPECT_EQ(checked, 29U);
}

}  // namespace
}  // namespace mach
