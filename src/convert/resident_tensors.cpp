#include "convert/resident_tensors.h"

#include <algorithm>
#include <cstring>
#include <map>

#include <fmt/format.h>

#include "mach/error.h"

#include "arch/parameters.h"
#include "arch/registry.h"
#include "base/half.h"

namespace mach {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

uint32_t layer_of(const std::string& name) {  // "layers.12.mlp.gate"
  return static_cast<uint32_t>(std::stoul(name.substr(name.find('.') + 1)));
}

// What must happen to a stored tensor: nothing, rows chosen, or ids translated.
struct Treatment {
  const std::vector<uint32_t>* kept = nullptr;
  bool ids = false;
  uint32_t row_ids = 0;  // of a hash table
  uint8_t id_bytes = 0;
  uint32_t experts = 0;  // rows in the source
};

class ResidentTensors {
 public:
  ResidentTensors(const SourceCheckpoint& source, const KeptExperts& kept) : source_(source), kept_(kept) {}

  std::vector<OutputTensor> list() {
    mark_all();
    mark_per_expert();
    std::vector<uint32_t> order;
    for (const auto& [tensor, treatment] : treatments_) order.push_back(tensor);
    const auto& tensors = source_.plan.tensors;
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      return std::pair(tensors[a].shard, tensors[a].offset) < std::pair(tensors[b].shard, tensors[b].offset);
    });
    std::vector<OutputTensor> out;
    for (const uint32_t tensor : order) out.push_back(output(tensor, treatments_.at(tensor)));
    return out;
  }

 private:
  void mark(const PlaneRef& plane) { treatments_.try_emplace(plane.tensor); }
  void mark(const WeightRef& matrix, const Treatment& treatment) {
    treatments_[matrix.codes.tensor] = treatment;
    if (matrix.scales) treatments_[matrix.scales->tensor] = treatment;
    if (matrix.biases) treatments_[matrix.biases->tensor] = treatment;
    if (matrix.global_scale) treatments_.try_emplace(matrix.global_scale->tensor);
  }

  void mark_all() {
    for (const auto& [name, matrix] : source_.plan.matrices) {
      mark(matrix.codes);
      if (matrix.scales) mark(*matrix.scales);
      if (matrix.biases) mark(*matrix.biases);
      if (matrix.global_scale) treatments_.try_emplace(matrix.global_scale->tensor);
    }
    for (const auto& [name, vector] : source_.plan.vectors) treatments_.try_emplace(vector.tensor);
    for (const auto& [name, ids] : source_.plan.integers) treatments_.try_emplace(ids.tensor);
  }

  void mark_per_expert() {
    const ModelConfig& config = source_.config;
    for (const Parameter& parameter : arch_row(config.family).parameters(config).parameters) {
      const bool ids = parameter.kind == ParameterKind::kIntegers;
      if (!parameter.per_expert && !ids) continue;
      const uint32_t layer = layer_of(parameter.name);
      const std::vector<uint32_t>& kept = kept_.at(layer);
      if (kept.size() == config.layers[layer].experts) continue;
      Treatment treatment{.kept = &kept, .ids = ids, .experts = config.layers[layer].experts};
      if (ids) {
        const IntRef& table = source_.plan.integer(parameter.name);
        treatment.row_ids = table.cols;
        treatment.id_bytes = table.width;
        treatments_[table.tensor] = treatment;
      } else if (const VectorRef* vector = source_.plan.find_vector(parameter.name)) {
        treatments_[vector->tensor] = treatment;
      } else if (const WeightRef* matrix = source_.plan.find_matrix(parameter.name)) {
        if (matrix->transposed ||
            (matrix->format.scale != ScaleType::kNone && matrix->format.block_rows != 1)) {
          throw Error(ErrorCode::kUnsupported, source_.plan.tensors[matrix->codes.tensor].name +
                                                   ": shares scales between experts, so it cannot be pruned");
        }
        mark(*matrix, treatment);
      }
    }
  }

  OutputTensor output(uint32_t index, const Treatment& treatment) const {
    const TensorLocation& location = source_.plan.tensors[index];
    const CatalogEntry& entry = source_.files.catalog().at(location.name);
    const auto bytes = source_.files.data(entry);
    OutputTensor out{.spec = {location.name, entry.dtype, entry.shape}, .bytes = bytes.size()};
    if (treatment.kept == nullptr) {
      out.write = [bytes](const ByteSink& sink) {
        for (size_t at = 0; at < bytes.size(); at += kPieceBytes)
          sink(bytes.subspan(at, std::min<size_t>(kPieceBytes, bytes.size() - at)));
      };
    } else if (treatment.ids) {
      out.write = [bytes, treatment](const ByteSink& sink) { write_ids(bytes, treatment, sink); };
    } else {
      choose_rows(location.name, bytes, treatment, out);
    }
    return out;
  }

  static void choose_rows(const std::string& name, std::span<const std::byte> bytes,
                          const Treatment& treatment, OutputTensor& out) {
    // The axis of experts is the first one, give or take axes of length 1.
    Shape shape;
    bool found = false;
    for (const uint64_t dim : out.spec.shape.dims()) {
      const bool axis = !found && dim != 1;
      if (axis && dim != treatment.experts) break;
      shape.push_back(axis ? treatment.kept->size() : dim);
      found = found || axis;
    }
    if (!found && treatment.experts != 1) {
      throw Error(ErrorCode::kUnsupported, fmt::format("{}: has shape {}, must have {} rows to be pruned",
                                                       name, to_string(out.spec.shape), treatment.experts));
    }
    const uint64_t row = bytes.size() / treatment.experts;
    out.spec.shape = shape;
    out.bytes = row * treatment.kept->size();
    out.write = [bytes, row, kept = *treatment.kept](const ByteSink& sink) {
      for (const uint32_t id : kept) sink(bytes.subspan(id * row, row));
    };
  }

  static void write_ids(std::span<const std::byte> bytes, const Treatment& treatment, const ByteSink& sink) {
    const size_t row_bytes = size_t{treatment.row_ids} * treatment.id_bytes;
    std::vector<uint32_t> row(treatment.row_ids);
    std::vector<std::byte> piece;
    for (size_t at = 0; at < bytes.size(); at += row_bytes) {
      for (size_t i = 0; i < row.size(); ++i) {
        const std::byte* p = bytes.data() + at + i * treatment.id_bytes;
        const int64_t id = treatment.id_bytes == 8 ? load_unaligned<int64_t>(p) : load_unaligned<int32_t>(p);
        if (id < 0 || id >= int64_t{treatment.experts}) {
          throw Error(ErrorCode::kCorruptFile,
                      fmt::format("hash table: id {} is not below {}", id, treatment.experts));
        }
        row[i] = static_cast<uint32_t>(id);
      }
      remap_token_experts(*treatment.kept, row);
      for (const int64_t id : row) {
        const auto* p = reinterpret_cast<const std::byte*>(&id);  // little-endian: the low bytes come first
        piece.insert(piece.end(), p, p + treatment.id_bytes);
      }
      if (piece.size() < kPieceBytes) continue;
      sink(piece);
      piece.clear();
    }
    sink(piece);
  }

  const SourceCheckpoint& source_;
  const KeptExperts& kept_;
  std::map<uint32_t, Treatment> treatments_;  // by tensor of the plan
};

}  // namespace

void remap_token_experts(const std::vector<uint32_t>& kept, std::vector<uint32_t>& row) {
  const auto place = [&](uint32_t id) {  // of the first kept id from `id` on
    const auto it = std::lower_bound(kept.begin(), kept.end(), id);
    return static_cast<uint32_t>(it == kept.end() ? 0 : it - kept.begin());
  };
  std::vector<bool> stays(row.size());
  std::vector<uint32_t> used;
  for (size_t i = 0; i < row.size(); ++i) {
    stays[i] = std::binary_search(kept.begin(), kept.end(), row[i]);
    if (stays[i]) used.push_back(place(row[i]));
  }
  for (size_t i = 0; i < row.size(); ++i) {
    uint32_t id = place(row[i]);
    while (!stays[i] && std::find(used.begin(), used.end(), id) != used.end())
      id = (id + 1) % static_cast<uint32_t>(kept.size());
    if (!stays[i]) used.push_back(id);
    row[i] = id;
  }
}

std::vector<OutputTensor> resident_tensors(const SourceCheckpoint& source, const KeptExperts& kept) {
  return ResidentTensors(source, kept).list();
}

}  // namespace mach
