#include "model/weights.h"

#include <algorithm>
#include <cstring>

#include "mach/error.h"

#include "base/checked_math.h"
#include "base/half.h"
#include "experts/resident_experts.h"
#include "quant/codec.h"
#include "quant/decode.h"
#include "quant/eight_bit.h"
#include "quant/packing.h"
#include "quant/validate.h"

namespace mach {
namespace {

float load_float(CodecId type, const std::byte* p) noexcept {
  switch (type) {
    case CodecId::kF16:
      return load_f16(p);
    case CodecId::kBF16:
      return load_bf16(p);
    default:
      return load_f32(p);
  }
}

constexpr uint64_t kPieceBytes = uint64_t{256} << 10;  // that a thread packs at a time
// Pieces after which the mapped pages are let go, so that no more than some 64 MiB are there twice.
constexpr size_t kPiecesPerRelease = 256;

uint64_t float_bytes(CodecId type) noexcept { return type == CodecId::kF32 ? 4 : 2; }

void check_bound_scales(const WeightMatrix& matrix, const std::string& tensor) {
  const auto bad = mach::check_scales(matrix);
  if (!bad) return;
  throw Error(ErrorCode::kCorruptFile, tensor + ": scale or bias " + std::to_string(bad->index) + " of row " +
                                           std::to_string(bad->row) + " is not a usable number");
}

// Panels or rows [first, last) of a matrix that one thread copies at a time.
struct Piece {
  const WeightMatrix* from;
  const WeightMatrix* to;
  uint32_t first, last;
  std::span<std::byte> block;  // of the whole matrix
};

void write(const Piece& piece) {
  if (piece.to->format != piece.from->format) {
    encode_eight_bit_panels(*piece.from, piece.first, piece.last, piece.block);
    return;
  }
  if (piece.to->order == WeightOrder::kPanels) {
    pack_panels(*piece.from, piece.first, piece.last, piece.block);
    return;
  }
  const uint64_t row = piece.to->codes.row_stride;
  for (uint64_t r = piece.first; r < piece.last; ++r)
    std::memcpy(piece.block.data() + r * row, piece.from->codes.row(r), row);
}

// Bytes from the first to behind the last element, of `count` elements `stride` apart.
uint64_t extent(uint64_t count, uint64_t stride, uint64_t element) noexcept {
  return count == 0 ? 0 : (count - 1) * stride + element;
}

}  // namespace

std::span<const std::byte> WeightStore::tensor_bytes(uint32_t tensor) const {
  const TensorLocation& location = plan_.tensors.at(tensor);
  const auto file = files_.shard(location.shard).bytes();
  if (location.offset > file.size() || location.size > file.size() - location.offset) {
    throw Error(ErrorCode::kCorruptFile, files_.shard_path(location.shard).string() + ": tensor " +
                                             location.name + " lies past the end of the file");
  }
  return file.subspan(location.offset, location.size);
}

std::span<const std::byte> WeightStore::view_bytes(uint32_t tensor, uint64_t offset, uint64_t size) const {
  const auto bytes = tensor_bytes(tensor);
  if (offset > bytes.size() || size > bytes.size() - offset) {
    const TensorLocation& location = plan_.tensors[tensor];
    throw Error(ErrorCode::kCorruptFile, files_.shard_path(location.shard).string() + ": tensor " +
                                             location.name + " has " + std::to_string(bytes.size()) +
                                             " bytes, " + std::to_string(offset + size) + " are needed");
  }
  return bytes.subspan(offset, size);
}

Plane WeightStore::bind_plane(const PlaneRef& plane, uint64_t rows, uint64_t row_bytes) const {
  const auto bytes = view_bytes(plane.tensor, plane.offset, extent(rows, plane.row_stride, row_bytes));
  return {.data = bytes.data(), .row_stride = plane.row_stride};
}

WeightMatrix WeightStore::bind(const WeightRef& ref) {
  const WeightFormat& format = ref.format;
  check_format(format, ref.cols, plan_.tensors.at(ref.codes.tensor).name);
  WeightMatrix matrix{.format = format, .rows = ref.rows, .cols = ref.cols};
  if (ref.transposed) {
    turn(ref, matrix);
    return matrix;
  }
  matrix.codes = bind_plane(ref.codes, ref.rows, row_bytes(format, ref.cols));
  const uint64_t scales = scale_row_bytes(format, ref.cols);
  if (ref.scales) matrix.scales = bind_plane(*ref.scales, scale_rows(format, ref.rows), scales);
  if (ref.biases) matrix.biases = bind_plane(*ref.biases, scale_rows(format, ref.rows), scales);
  if (ref.global_scale) matrix.global_scale = scalar(*ref.global_scale);
  return matrix;
}

// Copies a matrix stored [cols, rows] into rows of contiguous columns.
void WeightStore::turn(const WeightRef& ref, WeightMatrix& out) {
  const uint64_t width = float_bytes(ref.format.codec);
  const uint64_t line = extent(ref.cols, ref.col_stride, width);
  const auto source =
      view_bytes(ref.codes.tensor, ref.codes.offset, extent(ref.rows, ref.codes.row_stride, line));
  const std::span<std::byte> buffer = own_memory(uint64_t{ref.rows} * ref.cols * width);
  constexpr uint32_t kTile = 32;  // both sides of a tile stay in L1
  for (uint32_t row0 = 0; row0 < ref.rows; row0 += kTile) {
    for (uint32_t col0 = 0; col0 < ref.cols; col0 += kTile) {
      for (uint32_t r = row0; r < std::min(row0 + kTile, ref.rows); ++r) {
        for (uint32_t c = col0; c < std::min(col0 + kTile, ref.cols); ++c) {
          std::memcpy(buffer.data() + (uint64_t{r} * ref.cols + c) * width,
                      source.data() + r * ref.codes.row_stride + c * ref.col_stride, width);
        }
      }
    }
  }
  out.codes = {.data = buffer.data(), .row_stride = ref.cols * width};
}

std::span<const float> WeightStore::bind(const VectorRef& ref) {
  const uint64_t width = float_bytes(ref.type);
  const auto source = view_bytes(ref.tensor, ref.offset, extent(ref.count, ref.stride, width));
  const auto out = owned_.emplace_back(ref.count * sizeof(float)).as<float>();
  for (uint64_t i = 0; i < ref.count; ++i) {
    out[i] = load_float(ref.type, source.data() + i * ref.stride) + ref.add;
  }
  return out;
}

float WeightStore::scalar(const ScalarRef& ref) const {
  const float value = load_f32(view_bytes(ref.tensor, ref.offset, sizeof(float)).data());
  return ref.divide ? 1.0F / value : value;
}

const float* WeightStore::bias(const std::optional<VectorRef>& ref) {
  return ref ? bind(*ref).data() : nullptr;
}

WeightMatrix WeightStore::matrix(std::string_view name) { return bind(plan_.matrix(name)); }

std::span<const float> WeightStore::vector(std::string_view name) { return bind(plan_.vector(name)); }

std::span<const float> WeightStore::vector_or_empty(std::string_view name) {
  const VectorRef* ref = plan_.find_vector(name);
  return ref != nullptr ? bind(*ref) : std::span<const float>();
}

IdTable WeightStore::ids(std::string_view name, uint32_t limit) {
  const IntRef& ref = plan_.integer(name);
  const uint64_t count = uint64_t{ref.rows} * ref.cols;
  const auto source = view_bytes(ref.tensor, ref.offset, count * ref.width);
  const auto out = owned_.emplace_back(count * sizeof(uint32_t)).as<uint32_t>();
  for (uint64_t i = 0; i < count; ++i) {
    const std::byte* p = source.data() + i * ref.width;
    const int64_t value = ref.width == 8 ? load_unaligned<int64_t>(p) : load_unaligned<int32_t>(p);
    if (value < 0 || value >= int64_t{limit}) {
      throw Error(ErrorCode::kCorruptFile, plan_.tensors[ref.tensor].name + ": id " + std::to_string(value) +
                                               " at " + std::to_string(i) + " is not below " +
                                               std::to_string(limit));
    }
    out[i] = static_cast<uint32_t>(value);
  }
  return {.ids = out, .cols = ref.cols};
}

std::optional<HoldingRule::Form> WeightStore::packed_form(const WeightRef& ref) const noexcept {
  if (options_.numerics != Numerics::kFast || options_.kernels == nullptr) return {};
  const auto form = rule_.form(ref);
  if (!form || form->order == WeightOrder::kRows) return form;
  const kernel::FormatKernels* kernels = options_.kernels->find_format(form->format);
  return kernels != nullptr && kernels->int8_panels != nullptr ? form : rule_.form_in_rows(ref);
}

uint64_t WeightStore::packed_bytes(const WeightRef& ref) const noexcept {
  const auto form = packed_form(ref);
  return form ? ordered_bytes(form->order, form->format, ref.rows, ref.cols) : 0;
}

uint64_t WeightStore::packed_total() const noexcept {
  uint64_t total = 0;
  for (const auto& named : plan_.matrices) total += packed_bytes(named.second);
  for (const ExpertLayerPlan& layer : plan_.experts) {
    for (const ExpertRef& ref : layer.experts)
      total += packed_bytes(ref.gate) + packed_bytes(ref.up) + packed_bytes(ref.down);
  }
  return total;
}

std::span<std::byte> WeightStore::own_memory(uint64_t size) {
  return rule_.large() ? arena_.take(size) : owned_.emplace_back(size, kPackedAlignment).bytes();
}

std::vector<WeightMatrix> WeightStore::pack(std::span<const WeightRef* const> refs) {
  std::vector<WeightMatrix> matrices;
  matrices.reserve(refs.size());
  uint64_t bytes = 0;
  uint64_t size = 0;
  for (const WeightRef* ref : refs) {
    matrices.push_back(bind(*ref));
    bytes += packed_bytes(*ref);
    size += round_up(packed_bytes(*ref), kPackedAlignment);
  }
  if (size == 0) {
    let_go(refs);
    return matrices;
  }

  const std::span<std::byte> memory = own_memory(size);
  std::vector<Piece> pieces;
  std::vector<WeightMatrix> packed = matrices;
  uint64_t offset = 0;
  for (size_t i = 0; i < refs.size(); ++i) {
    const auto form = packed_form(*refs[i]);
    if (!form) continue;
    const auto block = memory.subspan(offset, packed_bytes(*refs[i]));
    offset += round_up(block.size(), kPackedAlignment);
    const WeightMatrix& from = matrices[i];
    packed[i] =
        ordered_view(form->order, form->format, from.rows, from.cols, block.data(), from.global_scale);
    const uint32_t units = form->order == WeightOrder::kPanels ? panel_count(from.rows) : from.rows;
    const auto step = static_cast<uint32_t>(kPieceBytes / packed[i].codes.row_stride + 1);
    for (uint32_t first = 0; first < units; first += step)
      pieces.push_back({&from, &packed[i], first, std::min(first + step, units), block});
  }
  for (size_t begin = 0; begin < pieces.size(); begin += kPiecesPerRelease) {
    const size_t count = std::min(kPiecesPerRelease, pieces.size() - begin);
    const auto run = [&](size_t i, size_t /*worker*/) { write(pieces[begin + i]); };
    if (options_.pool != nullptr) {
      options_.pool->run(count, run);
    } else {
      for (size_t i = 0; i < count; ++i) run(i, 0);
    }
    let_go(refs);
  }
  packed_so_far_ += bytes;
  if (options_.progress) options_.progress(packed_so_far_, packed_total());
  return packed;
}

// Of the shards that something was copied from.
void WeightStore::let_go(std::span<const WeightRef* const> refs) const noexcept {
  uint32_t last = UINT32_MAX;
  for (const WeightRef* ref : refs) {
    const uint32_t shard = plan_.tensors[ref->codes.tensor].shard;
    if (shard == last || !(packed_form(*ref) || ref->transposed)) continue;
    release(*ref);
    last = shard;
  }
}

// Lets go of all mapped pages of the shard that a packed or turned matrix came from: its planes share pages with others,
// and the kernel maps those around the ones that are read. What stays mapped comes back from the page cache when a pass
// reads it.
void WeightStore::release(const WeightRef& ref) const noexcept {
  files_.shard(plan_.tensors[ref.codes.tensor].shard).advise(Access::kDontNeed);
}

Linear WeightStore::linear(std::string_view name, Precision precision) {
  const WeightRef* ref = &plan_.matrix(name);
  const WeightMatrix weight = precision == Precision::kExact ? bind(*ref) : pack({&ref, 1})[0];
  return {.weight = weight, .bias = vector_or_empty(std::string(name) + ".bias")};
}

std::vector<Linear> WeightStore::row_groups(std::string_view name, uint32_t groups) {
  const WeightMatrix whole = matrix(name);
  const uint32_t rows = whole.rows / groups;
  // block_rows 0: one row of scales serves all.
  const uint32_t block_rows = whole.format.block_rows;
  const bool views = block_rows == 0 || rows % block_rows == 0;
  std::vector<Linear> parts(groups);
  for (uint32_t g = 0; g < groups; ++g) {
    WeightMatrix& part = parts[g].weight;
    if (views) {
      part = whole;
      part.rows = rows;
      part.codes.data = whole.codes.row(uint64_t{g} * rows);
      const uint64_t first_scales = scale_row(whole.format, uint64_t{g} * rows);
      if (whole.scales.data != nullptr) part.scales.data = whole.scales.row(first_scales);
      if (whole.biases.data != nullptr) part.biases.data = whole.biases.row(first_scales);
    } else {
      AlignedBuffer& buffer = owned_.emplace_back(uint64_t{rows} * whole.cols * sizeof(float));
      for (uint32_t r = 0; r < rows; ++r)
        decode_row(whole, g * rows + r, buffer.as<float>().subspan(uint64_t{r} * whole.cols, whole.cols));
      part = {.format = {}, .rows = rows, .cols = whole.cols};
      part.codes = {.data = buffer.data(), .row_stride = whole.cols * sizeof(float)};
    }
  }
  return parts;
}

GatedMlp WeightStore::gated_mlp(std::string_view base) {
  const std::string prefix(base);
  return {.gate = linear(prefix + ".gate_proj"),
          .up = linear(prefix + ".up_proj"),
          .down = linear(prefix + ".down_proj")};
}

std::vector<std::filesystem::path> WeightStore::shard_paths() const {
  std::vector<std::filesystem::path> paths;
  for (size_t i = 0; i < files_.catalog().shards().size(); ++i) paths.push_back(files_.shard_path(i));
  return paths;
}

std::unique_ptr<ExpertProvider> WeightStore::resident_experts(uint32_t layer_count) {
  std::vector<std::vector<ExpertWeights>> layers(layer_count);
  for (const ExpertLayerPlan& layer : plan_.experts) {
    std::vector<ExpertWeights>& experts = layers.at(layer.layer);
    experts.reserve(layer.experts.size());
    std::vector<const WeightRef*> refs;
    for (const ExpertRef& ref : layer.experts) refs.insert(refs.end(), {&ref.gate, &ref.up, &ref.down});
    const std::vector<WeightMatrix> matrices = pack(refs);
    for (size_t i = 0; i < layer.experts.size(); ++i) {
      const ExpertRef& ref = layer.experts[i];
      experts.push_back({.gate = matrices[3 * i],
                         .up = matrices[3 * i + 1],
                         .down = matrices[3 * i + 2],
                         .gate_bias = bias(ref.gate_bias),
                         .up_bias = bias(ref.up_bias),
                         .down_bias = bias(ref.down_bias)});
    }
  }
  return std::make_unique<ResidentExperts>(std::move(layers));
}

void WeightStore::check_scales() {
  const auto check = [&](const WeightRef& ref) {
    if (ref.scales) check_bound_scales(bind(ref), plan_.tensors[ref.codes.tensor].name);
  };
  for (const auto& named : plan_.matrices) check(named.second);
  for (const ExpertLayerPlan& layer : plan_.experts) {
    for (const ExpertRef& expert : layer.experts) {
      check(expert.gate);
      check(expert.up);
      check(expert.down);
    }
  }
}

void WeightStore::will_need() const noexcept {
  for (size_t i = 0; i < files_.catalog().shards().size(); ++i) files_.shard(i).advise(Access::kWillNeed);
}

}  // namespace mach
