// `mach check` on a config.json from anyone, with and without a safetensors header behind it: a report, or mach::Error.
// The first byte says how much of the input is the config; the rest is the header.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "preflight/check_report.h"
#include "preflight/report_json.h"
#include "preflight/report_text.h"

namespace {

class FuzzedSource final : public mach::ModelSource {
 public:
  FuzzedSource(std::string_view config, std::string_view header) : config_(config), header_(header) {}

  std::string name() const override { return "fuzzed"; }
  std::optional<std::filesystem::path> folder() const override { return std::nullopt; }
  std::string config_name() const override { return "config.json"; }
  std::string config_text() const override { return config_; }
  std::optional<mach::TensorCatalog> catalog() const override {
    if (header_.empty()) return std::nullopt;
    std::vector<mach::ShardHeader> shards;
    shards.push_back({"model.safetensors",
                      mach::parse_safetensors_header(std::as_bytes(std::span(header_)), uint64_t{1} << 40,
                                                     "model.safetensors", mach::HolePolicy::kWarn)});
    return mach::TensorCatalog::build(shards, nullptr, "fuzzed");
  }
  bool has_file(const std::string& path) const override { return path == "tokenizer.json"; }
  std::optional<std::string> text(const std::string&) const override { return std::nullopt; }
  std::optional<uint64_t> file_size(const std::string&) const override { return 1U << 20; }

 private:
  std::string config_, header_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const size_t split = data[0] == 255 ? text.size() : text.size() * data[0] / 255;
  try {
    mach::CheckOptions options;
    options.memory =
        mach::MemoryInfo{.total = uint64_t{16} << 30, .available = uint64_t{16} << 30, .cgroup_limit = {}};
    options.memory_bandwidth = 40e9;
    options.disk_rate = 1e9;
    const FuzzedSource source(text.substr(0, split), text.substr(split));
    const mach::CheckReport report = mach::make_check_report(source, options);
    if (report.supported != report.problem.empty()) __builtin_trap();
    if (report.paths.size() != mach::serving_paths().size()) __builtin_trap();
    mach::report_text(report);
    mach::report_json(report).dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  } catch (const mach::Error&) {  // the one way to refuse
  }
  return 0;
}
