// What every command does with its CLI::App: parse, print --help, and turn a wrong command line into
// Error{kUsage}, so that all commands report and exit alike.
#pragma once

#include <string>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

namespace mach::tools {

// True: go on. False: --help was asked for and printed to stdout, return 0. argv[0] becomes the name shown in
// the help. `examples` is printed below the options, as it stands. Throws Error{kUsage}, one line with the
// cause.
bool parse_command_line(CLI::App& app, int argc, char** argv, const std::string& examples);

}  // namespace mach::tools
