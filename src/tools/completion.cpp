// `mach completion SHELL`: what to put into a shell's start-up file so that it completes commands and options. Command
// names come from the table; options are read from `mach COMMAND --help` when they are wanted, so they cannot be stale.
#include <array>
#include <iostream>
#include <string>

#include <fmt/format.h>

#include "tools/cli.h"
#include "tools/command.h"

namespace mach::tools {
namespace {

std::string joined_names(const char* separator) {
  std::string names;
  for (const Command& command : commands()) {
    if (!names.empty()) names += separator;
    names += command.name;
  }
  return names;
}

void print_bash() {
  std::cout << "# mach completion for bash: source <(mach completion bash)\n"
               "_mach_complete() {\n"
               "  local word=${COMP_WORDS[COMP_CWORD]} name=${COMP_WORDS[0]##*/} command=\n"
               "  if [[ $name == mach-* ]]; then\n"
               "    command=${name#mach-}\n"
               "  elif (( COMP_CWORD > 1 )); then\n"
               "    command=${COMP_WORDS[1]}\n"
               "  fi\n"
               "  if [[ -z $command ]]; then\n"
               "    COMPREPLY=($(compgen -W '"
            << joined_names(" ")
            << " help --help --version' -- \"$word\"))\n"
               "  elif [[ $word == -* ]]; then\n"
               "    COMPREPLY=($(compgen -W \"$(mach help \"$command\" 2>/dev/null | grep -oE -- "
               "'(^|[ ,])--[a-z][a-z0-9-]*' | tr -d ' ,' | sort -u)\" -- \"$word\"))\n"
               "  else\n"
               "    COMPREPLY=($(compgen -f -- \"$word\"))\n"
               "  fi\n"
               "}\n"
               "complete -o filenames -F _mach_complete mach";
  for (const Command& command : commands()) std::cout << " mach-" << command.name;
  std::cout << '\n';
}

// zsh runs bash's function through its own emulation.
void print_zsh() {
  std::cout << "# mach completion for zsh: source <(mach completion zsh)\n"
               "autoload -U +X bashcompinit && bashcompinit\n";
  print_bash();
}

void print_fish() {
  std::cout << "# mach completion for fish: mach completion fish | source\n"
               "function __mach_options\n"
               "  mach help $argv[1] 2>/dev/null | string match -ar -- '(?:^|[ ,])(--[a-z][a-z0-9-]*)' | "
               "string match -r -- '^--.*' | sort -u\n"
               "end\n";
  for (const Command& command : commands()) {
    std::cout << fmt::format("complete -c mach -n __fish_use_subcommand -a {} -d '{}'\n", command.name,
                             command.summary);
    std::cout << fmt::format(
        "complete -c mach -n '__fish_seen_subcommand_from {0}' -a '(__mach_options {0})'\n"
        "complete -c mach-{0} -a '(__mach_options {0})'\n",
        command.name);
  }
}

struct ShellRow {
  std::string_view name;
  void (*print)();
};
constexpr std::array kShells = {ShellRow{"bash", print_bash}, ShellRow{"zsh", print_zsh},
                                ShellRow{"fish", print_fish}};

}  // namespace

int run_completion(int argc, char** argv) {
  CLI::App app("Prints a script that lets a shell complete mach's commands and options.");
  std::string shell;
  std::vector<std::string> names;
  for (const ShellRow& row : kShells) names.emplace_back(row.name);
  app.add_option("SHELL", shell, "bash, zsh or fish")->required()->check(CLI::IsMember(names));
  if (!parse_command_line(app, argc, argv,
                          "  source <(mach completion bash)\n  mach completion fish | source"))
    return 0;
  for (const ShellRow& row : kShells) {
    if (row.name == shell) row.print();
  }
  return 0;
}

}  // namespace mach::tools
