// What `mach check` finds out about a checkpoint before anything of it is loaded: a value that printers turn into text and
// JSON. Every answer comes from the functions that the loader and the server gate on: parse_model_config,
// build_tensor_plan, model_bytes, path_verdict.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "arch/held_weights.h"
#include "arch/model_bytes.h"
#include "arch/serving_paths.h"
#include "preflight/forecast.h"
#include "preflight/memory_estimate.h"
#include "preflight/model_source.h"

namespace mach {

struct CheckOptions {
  std::optional<uint32_t> context_length;  // empty: min(what the model allows, kDefaultContext)
  std::optional<uint64_t> expert_cache_bytes;
  std::optional<std::filesystem::path> draft_dir;
  std::optional<MemoryInfo> memory;  // of this machine; empty: not known
  KvElement kv_element = KvElement::kBF16;
  FloatWeights float_weights = FloatWeights::kEightBit;
  std::optional<double> memory_bandwidth;  // bytes per second
  std::optional<double> disk_rate;         // bytes per second
  uint32_t threads = 1;
};

struct ArtifactFacts {
  bool weights = false;  // tensor headers were read and complete
  bool tokenizer = false;
  std::optional<bool> chat_template;  // empty: not read
  bool sidecar = false;               // there and whole
  std::string sidecar_fault;          // there, and what is wrong with it
  std::string draft_dir;              // as given; empty: none
  DraftState draft = DraftState::kNone;
  std::string draft_fault;
  bool mtp_block = false;
};

struct PathCell {
  std::string path;
  PathVerdict verdict;
};

struct CheckReport {
  std::string model;               // the folder or id
  bool local = false;              // the weights are on this machine
  std::string model_type;          // empty where config.json does not tell
  bool supported = false;          // mach loads it
  std::string problem;             // why not, one line
  std::string layout = "unknown";  // of routed experts: "stacked", "sliced", "sidecar", "none", "unknown"
  std::string quant = "unknown";
  std::optional<ParameterCounts> parameters;
  std::optional<KvBytes> kv;  // of CheckOptions::kv_element
  ArtifactFacts artifacts;
  std::optional<MemoryEstimate> memory;
  bool exact_sizes = false;  // from tensor headers; otherwise from what config.json announces
  std::optional<Forecast> forecast;
  std::vector<PathCell> paths;  // in enum order
  std::string verdict;          // one line
  std::string serve_with;       // a command line; empty when nothing would serve it
  std::vector<std::string> notes;
};

// Throws Error{kNotFound, kIo} where there is nothing to report on: no config.json, unreadable files. A checkpoint that
// mach cannot load is a report, not an error.
CheckReport make_check_report(const ModelSource& source, const CheckOptions& options);

// A column per architecture, a row per path, what may vary with the checkpoint left open.
struct PathMatrix {
  std::vector<std::string> model_types;            // sorted
  std::vector<std::vector<PathVerdict>> verdicts;  // [path][model_type]
};
PathMatrix path_matrix();

}  // namespace mach
