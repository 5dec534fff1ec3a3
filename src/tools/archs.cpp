// `mach-archs`: the architectures that mach loads, printed from the registry.
#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "arch/arch_summary.h"
#include "arch/registry.h"
#include "tools/cli.h"
#include "tools/text_table.h"

namespace mach::tools {
namespace {

constexpr const char* kExamples =
    "  mach-archs            one line per architecture\n"
    "  mach-archs --json     the arch_summary that GET /v1/capabilities embeds\n"
    "\n"
    "A config.json whose model_type is not listed cannot be loaded.\n"
    "Exit status: 0; 2 when the command line is wrong.";

std::string yes_no(bool value) { return value ? "yes" : "no"; }

}  // namespace

int run_archs(int argc, char** argv) {
  bool json = false;
  CLI::App app("Lists the model architectures that mach loads.");
  app.add_flag("--json", json, "Print the full summary as JSON");
  if (!parse_command_line(app, argc, argv, kExamples)) return 0;

  if (json) {
    std::cout << arch_summary().dump(2) << '\n';
    return 0;
  }
  TextTable table(
      {"model_type", "swiglu", "stacked", "expert_bias", "wrapped", "bits / group", "model_module"});
  std::vector<const ArchRow*> rows;
  for (const ArchRow& row : arch_rows()) rows.push_back(&row);
  std::sort(rows.begin(), rows.end(),
            [](const ArchRow* a, const ArchRow* b) { return a->model_type < b->model_type; });
  for (const ArchRow* row : rows) {
    table.add({std::string(row->model_type), std::string(row->swiglu), yes_no(row->stacked),
               yes_no(row->expert_bias), yes_no(row->wrapped),
               fmt::format("{} / {}", row->default_bits, row->default_group),
               std::string(row->model_module)});
  }
  std::cout << table.text();
  return 0;
}

}  // namespace mach::tools
