// `mach-models`: checkpoints on this machine, merged with a remote catalogue where one is configured.
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "arch/local_models.h"
#include "arch/registry.h"
#include "io/hub/catalog.h"
#include "tools/cache_dir.h"
#include "tools/cli.h"
#include "tools/text_table.h"

namespace mach::tools {
namespace {

constexpr const char* kExamples =
    "  mach-models                          what is installed, and what the catalogue offers\n"
    "  mach-models --local-only --json      [{\"name\", \"source\", \"model_type\", \"supported\", "
    "\"installed\", \"size\", "
    "\"path\"}]\n"
    "  mach-models --dir ~/checkpoints\n"
    "\n"
    "Looks in the cache folder, the Hugging Face cache, --dir and LME_MODELS_DIR (folders joined by ':').\n"
    "The catalogue is GET $LME_CATALOG_URL/v1/local-moe/catalog with the bearer token LME_CATALOG_TOKEN; "
    "when it cannot be\n"
    "read the local list is printed with a warning.\n"
    "Exit status: 0; 2 when the command line is wrong.";

// A model of either list or of both.
struct Row {
  std::string name;
  std::string source;  // "local", "remote", "local+remote"
  std::optional<std::string> model_type;
  bool supported = false;
  bool installed = false;
  std::optional<uint64_t> size;
  std::string path;
  std::string problem;
};

std::vector<std::filesystem::path> roots(const std::string& cache_dir, const std::vector<std::string>& dirs) {
  std::vector<std::filesystem::path> out = {cache_root(cache_dir)};
  out.insert(out.end(), dirs.begin(), dirs.end());
  const char* joined = std::getenv("LME_MODELS_DIR");
  std::string rest = joined != nullptr ? joined : "";
  while (!rest.empty()) {
    const size_t colon = rest.find(':');
    if (const std::string part = rest.substr(0, colon); !part.empty()) out.emplace_back(part);
    rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
  }
  return out;
}

std::vector<Row> merge(const std::vector<LocalModel>& local, const std::vector<CatalogModel>& remote) {
  std::vector<Row> rows;
  std::multimap<std::string, size_t> by_name;
  for (const LocalModel& model : local) {
    by_name.emplace(model.name, rows.size());
    rows.push_back({.name = model.name,
                    .source = "local",
                    .model_type = model.model_type.empty() ? std::nullopt : std::optional(model.model_type),
                    .supported = model.supported,
                    .installed = true,
                    .size = model.bytes,
                    .path = model.path.string(),
                    .problem = model.problem});
  }
  for (const CatalogModel& model : remote) {
    const auto [first, last] = by_name.equal_range(model.name);
    for (auto it = first; it != last; ++it) rows[it->second].source = "local+remote";
    if (first != last) continue;
    rows.push_back({.name = model.name,
                    .source = "remote",
                    .model_type = model.model_type,
                    .supported = model.model_type && find_arch(*model.model_type) != nullptr,
                    .installed = false,
                    .size = model.size});
  }
  return rows;
}

nlohmann::ordered_json as_json(const std::vector<Row>& rows) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  const auto or_null = [](const auto& value) {
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
  };
  for (const Row& row : rows) {
    nlohmann::ordered_json entry;
    entry["name"] = row.name;
    entry["source"] = row.source;
    entry["model_type"] = or_null(row.model_type);
    entry["supported"] = row.supported;
    entry["installed"] = row.installed;
    entry["size"] = or_null(row.size);
    entry["path"] = row.path.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(row.path);
    if (!row.problem.empty()) entry["problem"] = row.problem;
    out.push_back(std::move(entry));
  }
  return out;
}

std::string as_table(const std::vector<Row>& rows) {
  TextTable table({"name", "source", "model_type", "supported", "installed", "size"});
  for (const Row& row : rows) {
    table.add({row.name, row.source, row.model_type.value_or("?"), row.supported ? "yes" : "no",
               row.installed ? "yes" : "no", row.size ? shown_bytes(*row.size) : "?"});
  }
  return table.text();
}

}  // namespace

int run_models(int argc, char** argv) {
  bool local_only = false, json = false;
  std::vector<std::string> dirs;
  std::string cache_dir;
  CLI::App app("Lists local checkpoints merged with the remote catalogue.");
  app.add_flag("--local-only", local_only, "Do not ask the catalogue");
  app.add_flag("--json", json, "Print a JSON list");
  app.add_option("--dir", dirs, "Another folder with checkpoints; repeatable");
  app.add_option("--cache-dir", cache_dir,
                 "mach's cache folder (default: XDG_CACHE_HOME/mach or ~/.cache/mach)");
  if (!parse_command_line(app, argc, argv, kExamples)) return 0;

  const auto local = find_local_models(roots(cache_dir, dirs), HubEnvironment::from_process());
  std::vector<CatalogModel> remote;
  const CatalogSettings catalog = CatalogSettings::from_process();
  if (local_only || catalog.url.empty()) {
    if (!json)
      std::cerr << "local models only; set LME_CATALOG_URL and LME_CATALOG_TOKEN to list a catalogue too\n";
  } else {
    try {
      remote = fetch_catalog(catalog);
    } catch (const Error& error) {
      std::cerr << argv[0] << ": warning: " << error.what() << "; showing local models only\n";
    }
  }
  const std::vector<Row> rows = merge(local, remote);
  std::cout << (json ? as_json(rows).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) +
                           "\n"
                     : as_table(rows));
  return 0;
}

}  // namespace mach::tools
