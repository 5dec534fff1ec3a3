#include "arch/sidecar_layout.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/file.h"
#include "base/quoted_name.h"
#include "io/json.h"
#include "quant/codec.h"
#include "quant/panel_layout.h"

namespace mach {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kMaxLayoutBytes = uint64_t{64} << 20;
constexpr uint32_t kMaxLayerIndex = 2 * kMaxLayers;  // layers of the model, then of prediction blocks
constexpr uint32_t kMaxDimension = 1U << 24;         // rows or columns: products stay far below 2^64
constexpr std::string_view kRowsOrder = "rows";
constexpr std::string_view kPanelOrder = "panels-1";  // kPanelLayoutVersion
static_assert(kPanelLayoutVersion == 1);
constexpr std::string_view kChecksum = "xxh3-64";

struct ScaleName {
  ScaleType type;
  std::string_view name;
};
constexpr std::array<ScaleName, 6> kScaleNames = {{{ScaleType::kNone, "none"},
                                                   {ScaleType::kF32, "f32"},
                                                   {ScaleType::kF16, "f16"},
                                                   {ScaleType::kBF16, "bf16"},
                                                   {ScaleType::kE8M0, "e8m0"},
                                                   {ScaleType::kE4M3, "e4m3"}}};

std::string_view scale_name(ScaleType type) {
  for (const ScaleName& row : kScaleNames) {
    if (row.type == type) return row.name;
  }
  return "none";
}

// What a plane's entry must say about its elements, besides its place.
struct PlaneEntry {
  std::string name;
  std::string_view codec;
  uint64_t rows, cols;
};

PlaneEntry plane_entry(const MatrixSpec& spec, Projection projection, PlaneKind kind) {
  PlaneEntry entry{.name = fmt::format("{}.{}", projection_name(projection), plane_name(kind)),
                   .codec = "f32",
                   .rows = 1,
                   .cols = 1};
  switch (kind) {
    case PlaneKind::kCodes:
      entry.codec = codec_row(spec.format.codec).name;
      entry.rows = spec.rows;
      entry.cols = spec.cols;
      break;
    case PlaneKind::kScales:
    case PlaneKind::kBiases:
      entry.codec = scale_name(spec.format.scale);
      entry.rows = scale_rows(spec.format, spec.rows);
      entry.cols = scales_per_row(spec.format, spec.cols);
      break;
    case PlaneKind::kBias:
      entry.cols = spec.rows;
      break;
    case PlaneKind::kGlobalScale:
      break;
  }
  return entry;
}

// The keys of one JSON object, each complaint with its place.
class Fields {
 public:
  Fields(const json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) fail("must be an object");
  }

  [[noreturn]] void fail(std::string_view complaint) const {
    throw Error(ErrorCode::kCorruptFile, fmt::format("{}: {}", where_, complaint));
  }
  [[noreturn]] void unsupported(std::string_view complaint) const {
    throw Error(ErrorCode::kUnsupported, fmt::format("{}: {}", where_, complaint));
  }

  const json& at(const char* key) const {
    const auto it = object_.find(key);
    if (it == object_.end()) fail(fmt::format("lacks \"{}\"", key));
    return *it;
  }
  uint64_t number(const char* key, uint64_t least, uint64_t most) const {
    return in_range(key, at(key), least, most);
  }
  std::string text(const char* key) const {
    const json& value = at(key);
    if (!value.is_string()) fail(fmt::format("\"{}\" must be a string", key));
    return value.get<std::string>();
  }
  const json& array(const char* key) const {
    const json& value = at(key);
    if (!value.is_array() || value.empty()) fail(fmt::format("\"{}\" must be a list, not empty", key));
    return value;
  }
  uint64_t in_range(const char* key, const json& value, uint64_t least, uint64_t most) const {
    if (!value.is_number_unsigned()) fail(fmt::format("\"{}\" must be a whole number", key));
    const auto n = value.get<uint64_t>();
    if (n >= least && n <= most) return n;
    fail(least == most ? fmt::format("\"{}\" is {}, must be {}", key, n, least)
                       : fmt::format("\"{}\" is {}, must be {} to {}", key, n, least, most));
  }
  const std::string& where() const noexcept { return where_; }

 private:
  const json& object_;
  std::string where_;
};

// The planes of one layer, matched by name. Their formats say what the record is; where the planes lie must agree.
class PlaneTable {
 public:
  explicit PlaneTable(const Fields& layer) : layer_(layer) {
    for (const json& plane : layer.array("planes")) {
      const std::string name = Fields(plane, layer.where() + ", a plane").text("name");
      const bool added = planes_.emplace(name, &plane).second;
      if (!added) layer.fail(fmt::format("plane {} comes twice", quoted_name(name)));
    }
  }

  ExpertRecord read() {
    ExpertSpec spec;
    for (const Projection projection : kProjections)
      spec[static_cast<size_t>(projection)] = read_spec(projection);
    const ExpertRecord record = make_expert_record(spec);
    for (const Projection projection : kProjections) check_planes(projection, record.matrix(projection));
    if (!planes_.empty()) {
      layer_.unsupported(fmt::format("plane {} is not known here", quoted_name(planes_.begin()->first)));
    }
    return record;
  }

 private:
  static std::string name_of(Projection projection, PlaneKind kind) {
    return fmt::format("{}.{}", projection_name(projection), plane_name(kind));
  }
  const json* find(Projection projection, PlaneKind kind) const {
    const auto it = planes_.find(name_of(projection, kind));
    return it == planes_.end() ? nullptr : it->second;
  }
  Fields fields_of(Projection projection, PlaneKind kind) const {
    const json* plane = find(projection, kind);
    if (plane == nullptr) layer_.fail(fmt::format("plane \"{}\" is missing", name_of(projection, kind)));
    return {*plane, fmt::format("{}, plane {}", layer_.where(), name_of(projection, kind))};
  }

  MatrixSpec read_spec(Projection projection) const {
    const Fields codes = fields_of(projection, PlaneKind::kCodes);
    const std::string codec_name = codes.text("codec");
    const CodecRow* codec = find_codec(codec_name);
    if (codec == nullptr) codes.unsupported(fmt::format("codec {} is not known", quoted_name(codec_name)));
    MatrixSpec spec;
    spec.format.codec = codec->id;
    spec.format.bits = static_cast<uint8_t>(codes.number("bits", 1, 32));
    spec.format.group = static_cast<uint16_t>(codes.number("group", 0, UINT16_MAX));
    spec.format.block_rows = static_cast<uint16_t>(codes.number("block_rows", 0, UINT16_MAX));
    spec.format.scale = read_scale_type(codes);
    const json& shape = codes.array("shape");
    if (shape.size() != 2) codes.fail("\"shape\" must have two numbers");
    spec.rows = static_cast<uint32_t>(codes.in_range("shape", shape[0], 1, kMaxDimension));
    spec.cols = static_cast<uint32_t>(codes.in_range("shape", shape[1], 1, kMaxDimension));
    spec.global_scale = find(projection, PlaneKind::kGlobalScale) != nullptr;
    spec.bias = find(projection, PlaneKind::kBias) != nullptr;
    check_format(spec.format, spec.cols, codes.where());
    const std::string order = codes.text("order");
    if (order == kPanelOrder && has_panel_order(spec.format)) {
      spec.order = WeightOrder::kPanels;
    } else if (order != kRowsOrder) {
      codes.unsupported(
          fmt::format("order {} is not known for {}", quoted_name(order), format_name(spec.format)));
    }
    return spec;
  }

  static ScaleType read_scale_type(const Fields& codes) {
    const std::string name = codes.text("scale");
    const auto* const row = std::find_if(kScaleNames.begin(), kScaleNames.end(),
                                         [&](const ScaleName& candidate) { return candidate.name == name; });
    if (row == kScaleNames.end())
      codes.unsupported(fmt::format("scales of type {} are not known", quoted_name(name)));
    return row->type;
  }

  void check_planes(Projection projection, const MatrixRecord& matrix) {
    for (size_t k = 0; k < kPlaneKinds; ++k) {
      const auto kind = static_cast<PlaneKind>(k);
      const PlaneRange& range = matrix.planes[k];
      if (range.size == 0) continue;  // one that is there all the same is not known
      const Fields fields = fields_of(projection, kind);
      const PlaneEntry entry = plane_entry(matrix.spec, projection, kind);
      if (const std::string codec = fields.text("codec"); codec != entry.codec) {
        fields.fail(fmt::format("\"codec\" is {}, must be {}", quoted_name(codec), entry.codec));
      }
      const json& shape = fields.array("shape");
      if (shape.size() != 2 || shape[0] != entry.rows || shape[1] != entry.cols) {
        fields.fail(fmt::format("\"shape\" must be [{}, {}]", entry.rows, entry.cols));
      }
      fields.number("offset", range.offset, range.offset);
      fields.number("size", range.size, range.size);
      planes_.erase(entry.name);
    }
  }

  const Fields& layer_;
  std::map<std::string, const json*> planes_;
};

std::vector<uint64_t> read_checksums(const Fields& layer, uint32_t experts) {
  const json& list = layer.array("checksums");
  if (list.size() != experts) {
    layer.fail(fmt::format("has {} checksums for {} experts", list.size(), experts));
  }
  std::vector<uint64_t> checksums;
  checksums.reserve(experts);
  for (const json& entry : list) {
    const auto* const text = entry.get_ptr<const std::string*>();
    uint64_t value = 0;
    const bool whole = text != nullptr && text->size() == 16 &&
                       std::from_chars(text->data(), text->data() + 16, value, 16).ptr == text->data() + 16;
    if (!whole) {
      layer.fail(fmt::format("the checksum of expert {} must be 16 hexadecimal digits", checksums.size()));
    }
    checksums.push_back(value);
  }
  return checksums;
}

SidecarLayer read_layer(const json& entry, std::string_view what) {
  SidecarLayer layer;
  layer.layer = static_cast<uint32_t>(
      Fields(entry, fmt::format("{}: a layer", what)).number("layer", 0, kMaxLayerIndex));
  const Fields fields(entry, fmt::format("{}: layer {}", what, layer.layer));
  layer.experts = static_cast<uint32_t>(fields.number("experts", 1, kMaxRoutedExperts));
  layer.record = PlaneTable(fields).read();
  if (layer.record.size > kMaxRecordBytes) {
    fields.fail(
        fmt::format("has records of {} bytes, at most {} are accepted", layer.record.size, kMaxRecordBytes));
  }
  fields.number("record_size", layer.record.size, layer.record.size);
  fields.number("file_size", layer.file_size(), layer.file_size());
  layer.checksums = read_checksums(fields, layer.experts);
  return layer;
}

nlohmann::ordered_json plane_json(const MatrixRecord& matrix, Projection projection, PlaneKind kind) {
  const PlaneEntry entry = plane_entry(matrix.spec, projection, kind);
  nlohmann::ordered_json plane = {{"name", entry.name}, {"codec", entry.codec}};
  if (kind == PlaneKind::kCodes) {
    plane["bits"] = matrix.spec.format.bits;
    plane["scale"] = scale_name(matrix.spec.format.scale);
    plane["group"] = matrix.spec.format.group;
    plane["block_rows"] = matrix.spec.format.block_rows;
  }
  plane["shape"] = {entry.rows, entry.cols};
  if (kind == PlaneKind::kCodes) {
    plane["order"] = matrix.spec.order == WeightOrder::kPanels ? kPanelOrder : kRowsOrder;
  }
  plane["offset"] = matrix.plane(kind).offset;
  plane["size"] = matrix.plane(kind).size;
  return plane;
}

nlohmann::ordered_json layer_json(const SidecarLayer& layer) {
  nlohmann::ordered_json entry = {{"layer", layer.layer},
                                  {"experts", layer.experts},
                                  {"record_size", layer.record.size},
                                  {"file_size", layer.file_size()}};
  auto& planes = entry["planes"] = nlohmann::ordered_json::array();
  for (const Projection projection : kProjections) {
    const MatrixRecord& matrix = layer.record.matrix(projection);
    for (size_t kind = 0; kind < kPlaneKinds; ++kind) {
      if (matrix.planes[kind].size == 0) continue;
      planes.push_back(plane_json(matrix, projection, static_cast<PlaneKind>(kind)));
    }
  }
  auto& checksums = entry["checksums"] = nlohmann::ordered_json::array();
  for (const uint64_t checksum : layer.checksums) checksums.push_back(fmt::format("{:016x}", checksum));
  return entry;
}

std::string shape_text(const MatrixSpec& spec) { return fmt::format("[{}, {}]", spec.rows, spec.cols); }

}  // namespace

const SidecarLayer* SidecarLayout::find(uint32_t layer) const noexcept {
  const auto it =
      std::lower_bound(layers.begin(), layers.end(), layer,
                       [](const SidecarLayer& entry, uint32_t wanted) { return entry.layer < wanted; });
  return it != layers.end() && it->layer == layer ? &*it : nullptr;
}

uint64_t SidecarLayout::bytes() const noexcept {
  uint64_t sum = 0;
  for (const SidecarLayer& layer : layers) sum += layer.file_size();
  return sum;
}

std::string sidecar_layer_file(uint32_t layer) { return fmt::format("layer_{:02}.bin", layer); }

SidecarLayout parse_sidecar_layout(std::string_view text, std::string_view what) {
  const json root = parse_json(text, what, JsonLimits{.max_bytes = kMaxLayoutBytes});
  const Fields fields(root, std::string(what));
  if (const std::string format = fields.text("format"); format != kSidecarFormat) {
    fields.unsupported(fmt::format("\"format\" is {}, must be \"{}\"", quoted_name(format), kSidecarFormat));
  }
  if (const uint64_t version = fields.number("version", 0, UINT32_MAX); version != kSidecarVersion) {
    fields.unsupported(fmt::format("\"version\" is {}; this mach reads {}", version, kSidecarVersion));
  }
  if (const std::string checksum = fields.text("checksum"); checksum != kChecksum) {
    fields.unsupported(fmt::format("\"checksum\" is {}, must be \"{}\"", quoted_name(checksum), kChecksum));
  }
  SidecarLayout layout;
  layout.model_type = fields.text("model_type");
  uint64_t experts = 0;
  for (const json& entry : fields.array("layers")) {
    layout.layers.push_back(read_layer(entry, what));
    const SidecarLayer& layer = layout.layers.back();
    if (layout.layers.size() > 1 && layer.layer <= layout.layers[layout.layers.size() - 2].layer) {
      fields.fail(fmt::format("layer {} does not come in ascending order", layer.layer));
    }
    experts += layer.experts;
    if (experts > kMaxRoutedExperts) {
      fields.fail(fmt::format("has more than {} experts in all layers together", kMaxRoutedExperts));
    }
  }
  return layout;
}

std::string sidecar_layout_text(const SidecarLayout& layout) {
  nlohmann::ordered_json root = {{"format", kSidecarFormat},
                                 {"version", kSidecarVersion},
                                 {"model_type", layout.model_type},
                                 {"alignment", kRecordAlignment},
                                 {"checksum", kChecksum}};
  auto& layers = root["layers"] = nlohmann::ordered_json::array();
  for (const SidecarLayer& layer : layout.layers) layers.push_back(layer_json(layer));
  return root.dump(1) + "\n";
}

std::optional<SidecarLayout> read_sidecar_layout(const fs::path& checkpoint) {
  const fs::path path = checkpoint / kSidecarFolder / kSidecarLayoutFile;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  return parse_sidecar_layout(read_text_file(path, kMaxLayoutBytes), path.string());
}

void check_sidecar_layout(const SidecarLayout& layout, const ModelConfig& config, std::string_view what) {
  const auto fail = [&](std::string_view complaint) {
    throw Error(ErrorCode::kCorruptFile, fmt::format("{}: {}", what, complaint));
  };
  if (layout.model_type != config.model_type) {
    fail(fmt::format("is of model_type {}, config.json says {}", quoted_name(layout.model_type),
                     quoted_name(config.model_type)));
  }
  for (uint32_t index = 0; index < config.layer_count(); ++index) {
    const SidecarLayer* layer = layout.find(index);
    if (config.layers[index].has_moe() != (layer != nullptr)) {
      fail(fmt::format("layer {} {}", index, layer == nullptr ? "is missing" : "has no routed experts"));
    }
    if (layer == nullptr) continue;
    if (layer->experts != config.experts_of(index)) {
      fail(fmt::format("layer {} has {} experts, must have {}", index, layer->experts,
                       config.experts_of(index)));
    }
    for (const Projection projection : kProjections) {
      const MatrixSpec& spec = layer->record.matrix(projection).spec;
      MatrixSpec wanted{.rows = config.moe.intermediate, .cols = config.hidden_size};
      if (projection == Projection::kDown) std::swap(wanted.rows, wanted.cols);
      if (spec.rows != wanted.rows || spec.cols != wanted.cols) {
        fail(fmt::format("layer {}: {} is {}, must be {}", index, projection_name(projection),
                         shape_text(spec), shape_text(wanted)));
      }
      if (spec.bias != config.moe.expert_bias) {
        fail(fmt::format("layer {}: {} {}", index, projection_name(projection),
                         spec.bias ? "has a bias, which this model does not use" : "lacks its bias"));
      }
    }
  }
}

void check_sidecar_files(const SidecarLayout& layout, const fs::path& checkpoint) {
  for (const SidecarLayer& layer : layout.layers) {
    const fs::path path = checkpoint / kSidecarFolder / sidecar_layer_file(layer.layer);
    std::error_code error;
    const uint64_t size = fs::file_size(path, error);
    if (error) {
      throw Error(ErrorCode::kNotFound, fmt::format("{}: the file of layer {} {}", path.string(), layer.layer,
                                                    error == std::errc::no_such_file_or_directory
                                                        ? "is missing"
                                                        : "cannot be read: " + error.message()));
    }
    if (size != layer.file_size()) {
      throw Error(ErrorCode::kCorruptFile,
                  fmt::format("{}: has {} bytes, must have {} ({} experts of layer {}); expert {} is {}",
                              path.string(), size, layer.file_size(), layer.experts, layer.layer,
                              size / layer.record.size,
                              size < layer.file_size() ? "cut off or missing" : "not declared"));
    }
  }
}

std::vector<ExpertLayerSpec> expert_layers(const SidecarLayout& layout) {
  std::vector<ExpertLayerSpec> layers;
  layers.reserve(layout.layers.size());
  for (const SidecarLayer& layer : layout.layers)
    layers.push_back({layer.layer, layer.experts, layer.record});
  return layers;
}

}  // namespace mach
