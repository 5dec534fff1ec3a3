// `mach tokenize`: the token ids of a text, and what each of them stands for.
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "mach/error.h"

#include "io/model_dir.h"
#include "text/tokenizer/tokenizer.h"
#include "tools/cli.h"
#include "tools/text_input.h"

namespace mach::tools {
namespace {

constexpr const char* kExamples =
    "  mach tokenize ./model --text 'Hello, world!'          one line per token: id, then its bytes as a "
    "JSON string\n"
    "  mach tokenize ./model --text 'Hello' --json           {\"ids\": [9707]}\n"
    "  mach tokenize Qwen/Qwen3-30B-A3B --file prompt.txt --no-special --json > ids.json\n"
    "  echo -n 'some text' | mach tokenize ./tokenizer.json\n"
    "\n"
    "Input: --text, else --file, else standard input if it is not a terminal. It must be UTF-8. Text that "
    "spells an\n"
    "added token such as <|im_end|> becomes that token, unless --plain is given.\n"
    "Output: standard output, nothing else is printed there. Bytes that are not UTF-8 by themselves are "
    "shown as \\xHH.\n"
    "Exit status: 0; 2 when the command line is wrong; 3 when the text is not UTF-8; 5 when the model or the "
    "file is\n"
    "not there; 8 when the tokenizer uses something mach does not support; 9 when its file is corrupt.";

// A folder that need hold no more than tokenizer.json, the file itself, or a repository in the hub cache.
std::filesystem::path tokenizer_path(const std::string& model) {
  std::error_code ignored;
  if (std::filesystem::is_regular_file(model, ignored)) return model;
  return ModelDirectory::resolve(model, HubEnvironment::from_process()).required_file("tokenizer.json");
}

std::string shown(std::string_view bytes) {
  try {
    return nlohmann::json(bytes).dump();
  } catch (const nlohmann::json::exception&) {  // part of a character
    std::string text;
    for (const char byte : bytes) text += fmt::format("\\x{:02x}", static_cast<uint8_t>(byte));
    return '"' + text + '"';
  }
}

}  // namespace

int run_tokenize(int argc, char** argv) {
  std::string model, text, file;
  bool no_special = false, plain = false, json = false;
  CLI::App app("Prints the token ids of a text.");
  app.add_option("MODEL", model, "Model folder, a tokenizer.json, or a hub id in the local cache")
      ->required();
  auto* text_option = app.add_option("--text", text, "The text");
  auto* file_option = app.add_option("--file", file, "Read the text from a file")->excludes(text_option);
  app.add_flag("--no-special", no_special, "Do not add BOS or EOS");
  app.add_flag("--plain", plain, "Text that spells an added token is ordinary text");
  app.add_flag("--json", json, "Print {\"ids\": [...]}");
  if (!parse_command_line(app, argc, argv, kExamples)) return 0;

  if (*file_option) {
    text = text_file("--file", file);
  } else if (*text_option) {
    text = text_argument("--text", text);
  } else if (::isatty(STDIN_FILENO) == 0) {
    text = text_argument("standard input", "-");
  } else {
    throw Error(ErrorCode::kUsage,
                fmt::format("no text: give --text or --file, or pipe it in (see {} --help)", argv[0]));
  }

  const Tokenizer tokenizer = Tokenizer::open(tokenizer_path(model));
  EncodeOptions options;
  options.add_special_tokens = !no_special;
  options.parse_special = options.parse_added = !plain;
  const std::vector<TokenId> ids = tokenizer.encode(text, options);
  if (json) {
    std::cout << nlohmann::json{{"ids", ids}}.dump() << '\n';
    return 0;
  }
  for (const TokenId id : ids) std::cout << fmt::format("{:>7}  {}\n", id, shown(tokenizer.token_bytes(id)));
  return 0;
}

}  // namespace mach::tools
