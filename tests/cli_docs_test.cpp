// docs/CLI.md and `mach COMMAND --help` name the same commands and options, each once, and shell completion offers them.
#include <cctype>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/mach_program.h"
#include "support/temp_dir.h"

namespace mach::testing {
namespace {

using Names = std::set<std::string>;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// The commands that `mach --help` lists.
Names commands() {
  Names names;
  bool listing = false;
  for (const std::string& line : lines_of(run_mach({"--help"}).out)) {
    if (line == "Commands:") {
      listing = true;
    } else if (line.empty()) {
      listing = false;
    } else if (listing) {
      names.insert(line.substr(2, line.find(' ', 2) - 2));
    }
  }
  return names;
}

// The options in the list of a help text: lines like "  -y,--yes   Do not ask".
Names options_of_help(const std::string& help) {
  static const std::regex kOption("^  (-[A-Za-z0-9],)*(--[a-z][a-z0-9-]*)(,--[a-z][a-z0-9-]*)*.*");
  static const std::regex kName("(--[a-z][a-z0-9-]*)");
  Names names;
  for (const std::string& line : lines_of(help)) {
    if (line.starts_with("Examples:")) break;
    if (!std::regex_match(line, kOption)) continue;
    const std::string head = line.substr(0, line.find(' ', 2));
    for (std::sregex_iterator name(head.begin(), head.end(), kName), end; name != end; ++name)
      names.insert(name->str());
  }
  names.erase("--help");  // of every command; documented once
  return names;
}

// "## Loading a model" -> "loading-a-model", as links name it.
std::string slug(std::string title) {
  for (char& c : title) c = c == ' ' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return title;
}

// A section of docs/CLI.md: the options of its table's rows, which begin with "| `--option", and the other sections whose
// options it includes by a link such as (#loading-a-model).
struct Section {
  Names options;
  Names links;
  Names repeated;  // options with more than one row, and "##" for a title that stands twice
};

// By slug; that of "## mach NAME" is "mach-NAME".
std::map<std::string, Section> sections() {
  static const std::regex kRow("^\\| `(-[A-Za-z0-9], )?--.*");
  static const std::regex kName("(--[a-z][a-z0-9-]*)");
  static const std::regex kLink("\\(#([a-z-]+)\\)");
  std::map<std::string, Section> out;
  Section* section = nullptr;
  for (const std::string& line : lines_of(read_file(source_dir() / "docs/CLI.md"))) {
    if (line.starts_with("## ")) {
      const auto [entry, fresh] = out.try_emplace(slug(line.substr(3)));
      section = &entry->second;
      if (!fresh) section->repeated.insert("##");
    }
    if (section == nullptr) continue;
    for (std::sregex_iterator link(line.begin(), line.end(), kLink), end; link != end; ++link)
      section->links.insert((*link)[1]);
    if (!std::regex_match(line, kRow)) continue;
    const std::string cell = line.substr(0, line.find('|', 1));
    for (std::sregex_iterator name(cell.begin(), cell.end(), kName), end; name != end; ++name) {
      if (!section->options.insert(name->str()).second) section->repeated.insert(name->str());
    }
  }
  return out;
}

// Command -> the options that its section documents.
std::map<std::string, Names> documented() {
  const auto all = sections();
  std::map<std::string, Names> out;
  for (const auto& [name, section] : all) {
    if (!name.starts_with("mach-")) continue;
    Names options = section.options;
    for (const std::string& link : section.links) {
      const auto other = all.find(link);
      if (other != all.end() && !link.starts_with("mach-"))
        options.insert(other->second.options.begin(), other->second.options.end());
    }
    out[name.substr(5)] = options;
  }
  return out;
}

TEST(CliDocs, SectionsAreTheCommands) {
  Names described;
  for (const auto& [command, options] : documented()) described.insert(command);
  EXPECT_EQ(described, commands()) << "docs/CLI.md has a section \"## mach NAME\" per command";
}

TEST(CliDocs, TheRowsOfASectionAreTheOptionsOfItsCommand) {
  const auto docs = documented();
  for (const std::string& command : commands()) {
    const auto section = docs.find(command);
    if (section == docs.end()) continue;
    const ProcessResult help = run_mach({command, "--help"});
    EXPECT_EQ(help.status, 0) << command << help.err;
    EXPECT_EQ(section->second, options_of_help(help.out))
        << "docs/CLI.md, section \"## mach " << command << "\": rows \"| `--option` | what it does |\"";
  }
}

TEST(CliDocs, NothingIsDocumentedTwice) {
  for (const auto& [name, section] : sections()) EXPECT_THAT(section.repeated, ::testing::IsEmpty()) << name;
}

TEST(CliDocs, EveryHelpSaysWhatItDoesShowsExamplesAndExitStatuses) {
  for (const std::string& command : commands()) {
    const std::string help = run_mach({command, "--help"}).out;
    EXPECT_THAT(help, ::testing::HasSubstr("Examples:")) << command;
    if (command != "completion") {
      EXPECT_THAT(help, ::testing::HasSubstr("xit status")) << command;
    }
    EXPECT_FALSE(help.starts_with("Usage")) << command << ": the first line says what it does";
  }
}

TEST(CliDocs, CompletionKnowsEveryCommand) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = run_mach({"completion", shell}).out;
    for (const std::string& command : commands()) EXPECT_THAT(script, ::testing::HasSubstr(command)) << shell;
  }
}

// What bash would offer, by running the function of the script as bash does.
TEST(CliDocs, BashCompletesTheOptionsOfEveryCommand) {
  const TempDir folder;
  const std::string program = mach_program().parent_path().string();
  for (const std::string& command : commands()) {
    const std::string line = "PATH=" + program + ":$PATH; source <(mach completion bash); COMP_WORDS=(mach " +
                             command +
                             " --); COMP_CWORD=2; _mach_complete; printf '%s\\n' \"${COMPREPLY[@]}\"";
    const ProcessResult run = run_program({"/bin/bash", "-c", line});
    Names offered;
    for (const std::string& word : lines_of(run.out)) offered.insert(word);
    for (const std::string& option : options_of_help(run_mach({command, "--help"}).out))
      EXPECT_TRUE(offered.contains(option)) << command << " " << option << run.err;
  }
}

}  // namespace
}  // namespace mach::testing
