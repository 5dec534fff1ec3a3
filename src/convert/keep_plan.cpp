#include "convert/keep_plan.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "io/json.h"

namespace mach {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxLineBytes = uint64_t{16} << 20;
constexpr size_t kMaxLineValues = size_t{1} << 20;
constexpr size_t kMaxCandidates = 4096;
constexpr size_t kMaxIdBytes = 256;
constexpr uint32_t kMaxExpertId = 1U << 20;
constexpr size_t kListedIds = 20;

[[noreturn]] void refuse(std::string_view where, std::string_view complaint) {
  throw Error(ErrorCode::kCorruptFile, fmt::format("{}: {}", where, complaint));
}

std::optional<std::vector<uint32_t>> read_layer(const Json& value, size_t index, std::string_view where) {
  if (value.is_string() && value == "all") return std::nullopt;
  if (!value.is_array())
    refuse(where, fmt::format("keep[{}] must be \"all\" or a list of expert ids", index));
  std::vector<uint32_t> ids;
  for (const Json& id : value) {
    if (!id.is_number_integer() || id < 0 || id > kMaxExpertId)
      refuse(where, fmt::format("keep[{}][{}] must be an expert id", index, ids.size()));
    ids.push_back(id.get<uint32_t>());
  }
  return ids;
}

KeepPlan read_candidate(const Json& line, std::string_view where) {
  KeepPlan plan;
  plan.id = line.at("id").get<std::string>();
  const auto keep = line.find("keep");
  if (keep == line.end()) refuse(where, "keep is missing, must be \"all\" or a list with an entry per layer");
  if (keep->is_string() && *keep == "all") return plan;
  if (!keep->is_array()) refuse(where, "keep must be \"all\" or a list with an entry per layer");
  auto& layers = plan.layers.emplace();
  for (const Json& entry : *keep) layers.push_back(read_layer(entry, layers.size(), where));
  return plan;
}

const std::string& read_id(const Json& line, std::string_view where) {
  if (!line.is_object()) refuse(where, "must be a JSON object");
  const auto id = line.find("id");
  if (id == line.end() || !id->is_string()) refuse(where, "id is missing, must be a string");
  const auto& text = id->get_ref<const std::string&>();
  if (text.empty() || text.size() > kMaxIdBytes)
    refuse(where, fmt::format("id must have 1 to {} bytes", kMaxIdBytes));
  return text;
}

}  // namespace

KeepPlan parse_keep_plan(std::string_view text, std::string_view id, std::string_view what) {
  const JsonLimits limits{.max_bytes = kMaxLineBytes, .max_depth = 8, .max_values = kMaxLineValues};
  std::optional<KeepPlan> found;
  std::vector<std::string> others;
  size_t candidates = 0;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = fmt::format("{}: line {}", what, number);
    if (++candidates > kMaxCandidates) refuse(where, fmt::format("more than {} candidates", kMaxCandidates));
    const Json json = parse_json(line, where, limits);
    const std::string& name = read_id(json, where);
    if (name != id) {
      if (others.size() < kListedIds) others.push_back(name);
      continue;
    }
    if (found) refuse(where, fmt::format("the id \"{}\" stands on an earlier line, too", id));
    found = read_candidate(json, where);
  }
  if (found) return std::move(*found);
  throw Error(ErrorCode::kNotFound,
              fmt::format("{}: has no candidate \"{}\", but {}{}", what, id,
                          others.empty() ? "none at all" : fmt::format("{}", fmt::join(others, ", ")),
                          candidates > others.size() ? ", ..." : ""));
}

KeptExperts resolve_keep_plan(const KeepPlan& plan, const ModelConfig& config) {
  if (plan.layers && plan.layers->size() != config.moe_layer_count()) {
    throw Error(
        ErrorCode::kInvalidRequest,
        fmt::format("plan {}: keep has {} layers, must have one for each of the {} layers with experts",
                    plan.id, plan.layers->size(), config.moe_layer_count()));
  }
  KeptExperts kept(config.layer_count());
  size_t next = 0;
  for (uint32_t layer = 0; layer < config.layer_count(); ++layer) {
    if (!config.layers[layer].has_moe()) continue;
    const uint32_t count = config.layers[layer].experts;
    const size_t entry = next++;
    std::vector<uint32_t>& ids = kept[layer];
    if (!plan.layers || !(*plan.layers)[entry]) {
      for (uint32_t e = 0; e < count; ++e) ids.push_back(e);
      continue;
    }
    ids = *(*plan.layers)[entry];
    std::sort(ids.begin(), ids.end());
    const auto fail = [&](const std::string& complaint) {
      throw Error(ErrorCode::kInvalidRequest,
                  fmt::format("plan {}: keep[{}] (layer {}) {}", plan.id, entry, layer, complaint));
    };
    if (const auto twice = std::adjacent_find(ids.begin(), ids.end()); twice != ids.end())
      fail(fmt::format("has expert {} twice", *twice));
    if (!ids.empty() && ids.back() >= count)
      fail(fmt::format("has expert {}, but the layer has {}", ids.back(), count));
    if (ids.size() < config.moe.top_k)
      fail(fmt::format("keeps {} experts, but every token chooses {}", ids.size(), config.moe.top_k));
  }
  return kept;
}

std::string kept_label(const KeptExperts& kept) {
  size_t layers = 0, sum = 0, least = SIZE_MAX, most = 0;
  for (const auto& ids : kept) {
    if (ids.empty()) continue;
    ++layers;
    sum += ids.size();
    least = std::min(least, ids.size());
    most = std::max(most, ids.size());
  }
  if (layers == 0) return "k0";
  if (least == most) return fmt::format("k{}", most);
  return fmt::format("avgk{:g}",
                     std::round(10.0 * static_cast<double>(sum) / static_cast<double>(layers)) / 10.0);
}

}  // namespace mach
