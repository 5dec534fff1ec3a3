#include "tools/cli.h"

#include <iostream>

#include "mach/error.h"

namespace mach::tools {

bool parse_command_line(CLI::App& app, int argc, char** argv, const std::string& examples) {
  app.name(argv[0]);
  app.footer("\nExamples:\n" + examples);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    return false;
  } catch (const CLI::CallForAllHelp&) {
    std::cout << app.help("", CLI::AppFormatMode::All);
    return false;
  } catch (const CLI::ParseError& e) {
    std::string message = e.what();
    for (char& c : message) {
      if (c == '\n') c = ' ';
    }
    throw Error(ErrorCode::kUsage, message + " (see " + argv[0] + " --help)");
  }
  return true;
}

}  // namespace mach::tools
