#include "text/jinja/chat_template.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "io/json.h"
#include "support/shared_dir.h"

namespace mach {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ordered_json read_json(const fs::path& path) {
  return ordered_json::parse(read_text_file(path, uint64_t{256} << 20));
}

// A folder that disappears with the test.
class ModelFolder {
 public:
  ModelFolder() {
    std::string name = (fs::temp_directory_path() / "mach-chat-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ModelFolder(const ModelFolder&) = delete;
  ModelFolder& operator=(const ModelFolder&) = delete;
  ~ModelFolder() { fs::remove_all(path_); }
  ModelFolder& with(const std::string& name, const std::string& content) {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << content;
    return *this;
  }
  ChatTemplate load() const { return ChatTemplate::load(ModelDirectory::at(path_)); }

 private:
  fs::path path_;
};

ChatPrompt prompt_of(const char* messages) {
  ChatPrompt prompt;
  prompt.messages = ordered_json::parse(messages);
  return prompt;
}

const char* const kHello = R"([{"role": "user", "content": "Hi"}])";
const char* const kTools = R"([{"type": "function", "function": {"name": "f"}}])";

TEST(ChatTemplate, JinjaFileWinsOverTokenizerConfig) {
  ModelFolder folder;
  folder.with("tokenizer_config.json", R"({"chat_template": "config", "bos_token": "<s>"})");
  EXPECT_EQ(folder.load().render(prompt_of(kHello)), "config");
  folder.with("chat_template.jinja", "{{ bos_token }}file");
  EXPECT_EQ(folder.load().render(prompt_of(kHello)), "<s>file");
}

TEST(ChatTemplate, ChoosesTheToolTemplateWhenToolsAreGiven) {
  ModelFolder folder;
  folder.with("tokenizer_config.json", R"({"chat_template": [{"name": "default", "template": "plain"},
      {"name": "tool_use", "template": "tools: {{ tools | length }}"}, {"name": "rag", "template": "rag"}]})");
  const ChatTemplate chat = folder.load();
  ChatPrompt prompt = prompt_of(kHello);
  EXPECT_EQ(chat.render(prompt), "plain");
  prompt.tools = ordered_json::array();
  EXPECT_EQ(chat.render(prompt), "plain");
  prompt.tools = ordered_json::parse(kTools);
  EXPECT_EQ(chat.render(prompt), "tools: 1");
  EXPECT_EQ(chat.source(false), "plain");
  prompt.template_name = "rag";
  EXPECT_EQ(chat.render(prompt), "rag");
  prompt.template_name = "other";
  EXPECT_THROW(chat.render(prompt), Error);
  EXPECT_THAT(chat.names(), ElementsAre("default", "tool_use", "rag"));
}

TEST(ChatTemplate, ReadsAdditionalTemplatesBesideTheFile) {
  ModelFolder folder;
  folder.with("chat_template.jinja", "plain").with("additional_chat_templates/tool_use.jinja", "with tools");
  ChatPrompt prompt = prompt_of(kHello);
  EXPECT_EQ(folder.load().render(prompt), "plain");
  prompt.tools = ordered_json::parse(kTools);
  EXPECT_EQ(folder.load().render(prompt), "with tools");
}

TEST(ChatTemplate, SpecialTokensComeFromBothFiles) {
  ModelFolder folder;
  folder.with("tokenizer_config.json",
              R"({"bos_token": {"content": "<bos>", "lstrip": false}, "eos_token": null,
      "extra_special_tokens": {"image_token": "<img>"}, "additional_special_tokens": ["<a>", {"content": "<b>"}]})");
  folder.with("special_tokens_map.json", R"({"bos_token": "<other>", "eos_token": {"content": "</s>"}})");
  folder.with("chat_template.jinja",
              "{{ bos_token }}{{ eos_token }}{{ image_token }}{{ additional_special_tokens }}{{ pad_token is "
              "defined }}");
  const ChatTemplate chat = folder.load();
  EXPECT_EQ(chat.render(prompt_of(kHello)), "<bos></s><img>['<a>', '<b>']False");
  EXPECT_EQ(chat.special_token("eos_token"), "</s>");
  EXPECT_EQ(chat.special_token("pad_token"), "");
}

TEST(ChatTemplate, SetsTheVariablesThatHuggingFaceSets) {
  const auto chat = ChatTemplate::from_source(
      "{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}{{ enable_thinking is defined }}",
      "t");
  ChatPrompt prompt = prompt_of(kHello);
  EXPECT_EQ(chat.render(prompt), "TrueTrueFalseFalse");
  prompt.add_generation_prompt = true;
  prompt.variables = {{"enable_thinking", false}, {"documents", ordered_json::array()}};
  EXPECT_EQ(chat.render(prompt), "TrueFalseTrueTrue");
}

TEST(ChatTemplate, CallersVariablesReplaceSpecialTokensButNotTheConversation) {
  ModelFolder folder;
  folder.with("tokenizer_config.json", R"({"bos_token": "<s>", "chat_template": "{{ bos_token }}"})");
  ChatPrompt prompt = prompt_of(kHello);
  prompt.variables = {{"bos_token", "<x>"}};
  EXPECT_EQ(folder.load().render(prompt), "<x>");
  prompt.variables = {{"messages", ordered_json::array()}};
  EXPECT_THROW(folder.load().render(prompt), Error);
}

TEST(ChatTemplate, RefusalsNameFileAndLine) {
  ModelFolder folder;
  folder.with("chat_template.jinja",
              "{%- for m in messages %}\n{{- raise_exception('no ' ~ m.role) }}\n{%- endfor %}");
  try {
    folder.load().render(prompt_of(kHello));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidRequest);
    EXPECT_THAT(error.what(), HasSubstr("chat_template.jinja:2: no user"));
  }
}

TEST(ChatTemplate, RefusesFoldersWithoutOrWithBrokenTemplates) {
  const auto code_of = [](const ModelFolder& folder) {
    try {
      folder.load();
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::kInternal;
  };
  EXPECT_EQ(code_of(ModelFolder()), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(ModelFolder().with("tokenizer_config.json", R"({"chat_template": null})")),
            ErrorCode::kNotFound);
  EXPECT_EQ(code_of(ModelFolder().with("tokenizer_config.json", R"({"chat_template": 5})")),
            ErrorCode::kCorruptFile);
  EXPECT_EQ(code_of(ModelFolder().with("tokenizer_config.json", R"({"chat_template": [{"name": "a"}]})")),
            ErrorCode::kCorruptFile);
  EXPECT_EQ(code_of(ModelFolder().with("tokenizer_config.json", "[]")), ErrorCode::kCorruptFile);
  EXPECT_EQ(code_of(ModelFolder().with("chat_template.jinja", "{% if")), ErrorCode::kCorruptFile);
}

TEST(ChatTemplate, RefusesMessagesAndToolsOfTheWrongType) {
  const auto chat = ChatTemplate::from_source("x", "t");
  EXPECT_THROW(chat.render(prompt_of("{}")), Error);
  ChatPrompt prompt = prompt_of(kHello);
  prompt.tools = "f";
  EXPECT_THROW(chat.render(prompt), Error);
}

// Own templates that exercise the constructs of many published ones; the renderings are Jinja2's.
TEST(ChatTemplate, OwnTemplatesRenderAsInJinja2) {
  const fs::path folder = mach::testing::source_dir() / "tests/data/chat_templates";
  const ordered_json golden = read_json(folder / "golden.json");
  jinja::RenderOptions options;
  options.clock = jinja::fixed_clock(golden["provenance"]["now"].get<std::time_t>());
  size_t count = 0;
  for (const auto& [file, cases] : golden["templates"].items()) {
    const auto chat = ChatTemplate::from_source(read_text_file(folder / file, 1 << 20), file);
    for (const auto& [name, expected] : cases.items()) {
      SCOPED_TRACE(file + " " + name);
      ordered_json input = golden["inputs"][name];
      ChatPrompt prompt;
      prompt.messages = input["messages"];
      if (input.contains("tools")) prompt.tools = input["tools"];
      prompt.add_generation_prompt = input.value("add_generation_prompt", true);
      prompt.variables = golden["tokens"];
      for (const auto& [key, value] : input.items()) {
        if (key != "messages" && key != "tools" && key != "add_generation_prompt")
          prompt.variables[key] = value;
      }
      ++count;
      try {
        const std::string text = chat.render(prompt, options);
        ASSERT_TRUE(expected.contains("text")) << text;
        EXPECT_EQ(text, expected["text"].get<std::string>());
      } catch (const Error& error) {
        ASSERT_TRUE(expected.contains("error")) << error.what();
        EXPECT_THAT(error.what(), HasSubstr(expected["error"].get<std::string>()));
      }
    }
  }
  EXPECT_GE(count, 100U);
}

TEST(ChatTemplateGolden, PublishedTemplatesOfTheFiveFamilies) {
  const auto shared = mach::testing::shared_dir();
  if (!shared) GTEST_SKIP() << mach::testing::kNoSharedDir;
  const fs::path folder = *shared / "fixtures/chat_templates";
  const ordered_json golden = read_json(folder / "golden.json");
  ASSERT_EQ(golden["now"], "2026-11-22T12:00:00");
  jinja::RenderOptions options;
  options.clock = jinja::fixed_clock(1795348800);
  for (const auto& [name, table] : golden["templates"].items()) {
    const auto chat = ChatTemplate::from_source(read_text_file(folder / (name + ".jinja"), 1 << 20), name);
    ASSERT_EQ(table["cases"].size(), 15U);
    for (const auto& [input_name, expected] : table["cases"].items()) {
      SCOPED_TRACE(name + " " + input_name);
      ChatPrompt prompt;
      prompt.add_generation_prompt = true;
      prompt.variables = golden["tokens"];
      for (const auto& [key, value] : golden["inputs"][input_name].items()) {
        if (key == "messages") {
          prompt.messages = value;
        } else if (key == "tools") {
          prompt.tools = value;
        } else if (key == "add_generation_prompt") {
          prompt.add_generation_prompt = value.get<bool>();
        } else {
          prompt.variables[key] = value;
        }
      }
      ASSERT_TRUE(expected.contains("ok"));
      EXPECT_EQ(chat.render(prompt, options), expected["ok"].get<std::string>());
    }
  }
}

TEST(ChatTemplateGolden, PromptsOfTheMiniCheckpoints) {
  const auto shared = mach::testing::shared_dir();
  if (!shared) GTEST_SKIP() << mach::testing::kNoSharedDir;
  size_t prompts = 0;
  for (const auto& entry : fs::directory_iterator(*shared / "models")) {
    if (!fs::exists(entry.path() / "chat_template.jinja")) continue;
    SCOPED_TRACE(entry.path().filename().string());
    const ChatTemplate chat = ChatTemplate::load(ModelDirectory::at(entry.path()));
    const ordered_json golden = read_json(entry.path() / "golden.json");
    for (const auto& row : golden["prompts"]) {
      ChatPrompt prompt;
      prompt.messages = row["messages"];
      prompt.tools = row["tools"];
      prompt.add_generation_prompt = true;
      prompt.variables = {{"enable_thinking", row["enable_thinking"]}};
      EXPECT_EQ(chat.render(prompt), row["rendered"].get<std::string>());
      ++prompts;
    }
  }
  EXPECT_GE(prompts, 40U);
}

}  // namespace
}  // namespace mach
