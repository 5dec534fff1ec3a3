#include "experts/hot_list.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/file.h"
#include "io/json.h"

namespace mach {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormat = "mach-hot-experts";
constexpr int kVersion = 1;
constexpr uint64_t kMaxBytes = uint64_t{16} << 20;
constexpr double kFade = 0.5;
constexpr double kLeastUses = 1;

void sort_hottest_first(HotList& list) {
  std::sort(list.begin(), list.end(), [](const ExpertUses& a, const ExpertUses& b) {
    return a.uses != b.uses ? a.uses > b.uses : a.id < b.id;
  });
}

bool has_expert(std::span<const ExpertLayerSpec> layers, uint64_t layer, uint64_t expert) {
  return std::any_of(layers.begin(), layers.end(), [&](const ExpertLayerSpec& spec) {
    return spec.layer == layer && expert < spec.experts;
  });
}

}  // namespace

HotList parse_hot_list(std::string_view text, std::string_view what,
                       std::span<const ExpertLayerSpec> layers) {
  const auto wrong = [&](const std::string& why) {
    throw Error(ErrorCode::kCorruptFile, fmt::format("{}: {}", what, why));
  };
  const nlohmann::json root = parse_json(text, what, {.max_bytes = kMaxBytes});
  if (!root.is_object() || root.value("format", nlohmann::json()) != kFormat ||
      root.value("version", nlohmann::json()) != kVersion) {
    wrong(fmt::format("not a {} file of version {}", kFormat, kVersion));
  }
  const auto experts = root.find("experts");
  if (experts == root.end() || !experts->is_array()) wrong("experts: must be an array");
  HotList list;
  std::set<ExpertId> seen;
  for (size_t i = 0; i < experts->size(); ++i) {
    const nlohmann::json& entry = (*experts)[i];
    if (!entry.is_array() || entry.size() != 3 || !entry[0].is_number_unsigned() ||
        !entry[1].is_number_unsigned() || !entry[2].is_number()) {
      wrong(fmt::format("experts[{}]: must be [layer, expert, uses]", i));
    }
    const auto layer = entry[0].get<uint64_t>();
    const auto expert = entry[1].get<uint64_t>();
    const auto uses = entry[2].get<double>();
    if (!has_expert(layers, layer, expert)) {
      wrong(fmt::format("experts[{}]: the model has no layer {} with an expert {}", i, layer, expert));
    }
    if (!std::isfinite(uses) || uses <= 0) wrong(fmt::format("experts[{}]: uses must be above 0", i));
    const ExpertId id{static_cast<uint32_t>(layer), static_cast<uint32_t>(expert)};
    if (!seen.insert(id).second) wrong(fmt::format("experts[{}]: {} is there twice", i, to_string(id)));
    list.push_back({id, uses});
  }
  sort_hottest_first(list);
  return list;
}

std::string hot_list_text(const HotList& list) {
  nlohmann::ordered_json root = {{"format", kFormat}, {"version", kVersion}};
  auto& experts = root["experts"] = nlohmann::ordered_json::array();
  for (const ExpertUses& entry : list) {
    experts.push_back(nlohmann::ordered_json::array({entry.id.layer, entry.id.expert, entry.uses}));
  }
  return root.dump() + "\n";
}

HotList load_hot_list(const fs::path& path, std::span<const ExpertLayerSpec> layers) {
  try {
    return parse_hot_list(read_text_file(path, kMaxBytes), path.string(), layers);
  } catch (const Error&) {  // advice that cannot be had
    return {};
  }
}

void save_hot_list(const fs::path& path, const HotList& list) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error) {
    throw Error(ErrorCode::kIo,
                fmt::format("cannot make folder {}: {}", path.parent_path().string(), error.message()));
  }
  write_file_atomically(path, hot_list_text(list));
}

HotList merge_hot_lists(const HotList& before, const HotList& run) {
  std::map<ExpertId, double> uses;
  for (const ExpertUses& entry : before) uses[entry.id] += kFade * entry.uses;
  for (const ExpertUses& entry : run) uses[entry.id] += entry.uses;
  HotList merged;
  merged.reserve(uses.size());
  for (const auto& [id, count] : uses) {
    if (count >= kLeastUses) merged.push_back({id, count});
  }
  sort_hottest_first(merged);
  return merged;
}

}  // namespace mach
