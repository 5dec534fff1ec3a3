#include "arch/tensor_lookup.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mach/error.h"

#include "quant/codec.h"

namespace mach {
namespace {

struct FloatRow {
  DType dtype;
  CodecId codec;
  ScaleType scale;
  uint8_t bytes;
};
constexpr FloatRow kFloats[] = {
    {DType::kF32, CodecId::kF32, ScaleType::kF32, 4},
    {DType::kF16, CodecId::kF16, ScaleType::kF16, 2},
    {DType::kBF16, CodecId::kBF16, ScaleType::kBF16, 2},
};

const FloatRow* float_row(DType dtype) {
  const auto* row = std::find_if(std::begin(kFloats), std::end(kFloats),
                                 [&](const FloatRow& candidate) { return candidate.dtype == dtype; });
  return row == std::end(kFloats) ? nullptr : row;
}

WeightFormat dense_format(const FloatRow& row) {
  return {.codec = row.codec, .scale = ScaleType::kNone, .bits = static_cast<uint8_t>(row.bytes * 8)};
}

bool is_byte(DType dtype) { return dtype == DType::kU8 || dtype == DType::kI8; }

bool is_e8m0(DType dtype) { return dtype == DType::kF8E8M0 || dtype == DType::kU8; }

Shape without_ones(std::span<const uint64_t> dims) {
  Shape shape;
  for (const uint64_t dim : dims) {
    if (dim != 1) shape.push_back(dim);
  }
  return shape;
}

PlaneRef advanced(PlaneRef plane, uint64_t bytes) {
  plane.offset += bytes;
  return plane;
}

}  // namespace

WeightRef StoredMatrix::at(uint32_t index) const {
  WeightRef ref = first;
  ref.codes = advanced(ref.codes, index * codes_step);
  if (ref.scales) ref.scales = advanced(*ref.scales, index * scales_step);
  if (ref.biases) ref.biases = advanced(*ref.biases, index * biases_step);
  return ref;
}

void TensorLookup::fail(std::string_view tensor, std::string_view complaint) const {
  throw Error(ErrorCode::kCorruptFile, fmt::format("{}: tensor {} {}", catalog_.what(), tensor, complaint));
}

void TensorLookup::unsupported(std::string_view tensor, std::string_view complaint) const {
  throw Error(ErrorCode::kUnsupported, fmt::format("{}: tensor {} {}", catalog_.what(), tensor, complaint));
}

TensorLookup::Found TensorLookup::find(std::string name) const {
  const CatalogEntry* entry = catalog_.find(name);
  return {std::move(name), entry};
}

TensorLookup::Found TensorLookup::find_first(const std::string& path,
                                             std::initializer_list<std::string_view> suffixes) const {
  for (const std::string_view suffix : suffixes) {
    if (Found found = find(path + std::string(suffix))) return found;
  }
  return {path + std::string(*suffixes.begin()), nullptr};
}

const CatalogEntry& TensorLookup::require(const std::string& name) const {
  const CatalogEntry* entry = catalog_.find(name);
  if (entry == nullptr) fail(name, "is missing");
  return *entry;
}

uint32_t TensorLookup::use(const std::string& name, const CatalogEntry& entry) {
  const auto [it, added] = indices_.try_emplace(&entry, static_cast<uint32_t>(tensors_.size()));
  if (added) tensors_.push_back({name, entry.shard, entry.offset, entry.size});
  return it->second;
}

void TensorLookup::require_shape(const Found& tensor, const Shape& wanted) const {
  if (tensor.entry->shape == wanted) return;
  fail(tensor.name,
       fmt::format("has shape {}, must be {}", to_string(tensor.entry->shape), to_string(wanted)));
}

Shape TensorLookup::shape(const Wanted& wanted, uint64_t rows, uint64_t cols) const {
  return wanted.stack > 0 ? Shape{wanted.stack, rows, cols} : Shape{rows, cols};
}

bool TensorLookup::has_module(std::string_view path) const {
  const std::string name(path);
  return static_cast<bool>(find_first(name, {".weight", "", ".weight_packed"}));
}

StoredMatrix TensorLookup::matrix(const std::string& path, uint32_t stack, uint32_t rows, uint32_t cols) {
  const Wanted wanted{path, stack, rows, cols};
  const Found weight = find_first(path, {".weight", "", ".weight_packed"});
  if (!weight) fail(weight.name, "is missing");
  const DType dtype = weight.entry->dtype;
  if (dtype == DType::kU32) return mlx(wanted, weight);
  if (const Found scales = find(path + ".scales")) {
    fail(weight.name,
         fmt::format("is {}, must be U32 because {} exists", weight.entry->dtype_name(), scales.name));
  }
  if (quant_.has_override(path) && quant_.module(path)) {
    fail(weight.name,
         "is not quantised (there are no .scales), but config.json gives it quantisation settings");
  }
  if (float_row(dtype) != nullptr) return dense(wanted, weight);
  if (dtype == DType::kF8E4M3) return fp8(wanted, weight);
  if (is_byte(dtype)) return fp4(wanted, weight);
  unsupported(weight.name,
              fmt::format("is {}, must be BF16, F16, F32, or quantised as U32, F8_E4M3, I8 or U8",
                          weight.entry->dtype_name()));
}

// Row-major codes without gaps; the format's columns fit (check_format).
StoredMatrix TensorLookup::packed(const Wanted& wanted, const WeightFormat& format, const Found& codes) {
  StoredMatrix matrix;
  matrix.first.format = format;
  matrix.first.rows = wanted.rows;
  matrix.first.cols = wanted.cols;
  matrix.first.codes = {use(codes.name, *codes.entry), 0, row_bytes(format, wanted.cols)};
  matrix.codes_step = wanted.rows * matrix.first.codes.row_stride;
  return matrix;
}

void TensorLookup::add_scales(const Wanted& wanted, const Found& scales, StoredMatrix& matrix) {
  const WeightFormat& format = matrix.first.format;
  const uint64_t stride = scale_row_bytes(format, wanted.cols);
  matrix.first.scales = PlaneRef{use(scales.name, *scales.entry), 0, format.block_rows == 0 ? 0 : stride};
  matrix.scales_step = scale_rows(format, wanted.rows) * stride;
}

StoredMatrix TensorLookup::dense(const Wanted& wanted, const Found& weight) {
  require_shape(weight, shape(wanted, wanted.rows, wanted.cols));
  return packed(wanted, dense_format(*float_row(weight.entry->dtype)), weight);
}

// ---- MLX: P.weight U32 [.., rows, cols * bits / 32], P.scales and, for affine, P.biases [.., rows, cols / group] -----

// What config.json says, or, in a file whose config says nothing, what types and shapes tell.
MlxQuant TensorLookup::mlx_parameters(const Wanted& wanted, const Found& weight, const Found& scales,
                                      bool biases) const {
  const Shape& words = weight.entry->shape;
  const Shape& groups = scales.entry->shape;
  const uint64_t word_count = words.rank() > 0 ? words[words.rank() - 1] : 0;
  const uint64_t group_count = groups.rank() > 0 ? groups[groups.rank() - 1] : 0;
  if (word_count == 0 || word_count > wanted.cols || group_count == 0 || group_count > wanted.cols) {
    fail(weight.name, fmt::format("has shape {} and its scales {}, must hold rows of {} codes",
                                  to_string(words), to_string(groups), wanted.cols));
  }
  const uint64_t bits = word_count * 32 / wanted.cols;
  const uint64_t group = wanted.cols / group_count;
  const bool exact =
      bits * wanted.cols == word_count * 32 && group * group_count == wanted.cols && group <= UINT16_MAX;
  if (!exact) {
    fail(weight.name, fmt::format("has {} words and {} scales in a row, which fits no width for {} inputs",
                                  word_count, group_count, wanted.cols));
  }
  MlxQuant found{
      .codec = CodecId::kAffine, .bits = static_cast<uint8_t>(bits), .group = static_cast<uint16_t>(group)};
  if (!biases) found.codec = bits == 8 ? CodecId::kMxFp8 : (group == 16 ? CodecId::kNvFp4 : CodecId::kMxFp4);
  if (quant_.method != QuantMethod::kMlx) return found;

  const auto told = quant_.module(wanted.path);
  if (!told)
    fail(weight.name, fmt::format("is quantised ({} exists), but config.json says it is not", scales.name));
  if (!(*told == found)) {
    fail(
        weight.name,
        fmt::format(
            "is {} with {} bits in groups of {} by its shape, but config.json says {} with {} bits in groups "
            "of {}",
            codec_row(found.codec).name, found.bits, found.group, codec_row(told->codec).name, told->bits,
            told->group));
  }
  return found;
}

StoredMatrix TensorLookup::mlx(const Wanted& wanted, const Found& weight) {
  const Found scales = find(wanted.path + ".scales");
  if (!scales) fail(weight.name, fmt::format("is U32, but {} is missing", scales.name));
  const Found biases = find(wanted.path + ".biases");
  const MlxQuant quant = mlx_parameters(wanted, weight, scales, static_cast<bool>(biases));

  WeightFormat format{.codec = quant.codec, .bits = quant.bits, .group = quant.group};
  const DType scale_type = scales.entry->dtype;
  if (biases) {
    const FloatRow* row = float_row(scale_type);
    if (row == nullptr) {
      fail(scales.name, fmt::format("is {}, must be BF16, F16 or F32", scales.entry->dtype_name()));
    }
    format.scale = row->scale;
  } else {
    if (scale_type != DType::kU8)
      fail(scales.name, fmt::format("is {}, must be U8", scales.entry->dtype_name()));
    format.scale = quant.codec == CodecId::kNvFp4 ? ScaleType::kE4M3 : ScaleType::kE8M0;
  }
  check_format(format, wanted.cols, weight.name);
  require_shape(weight, shape(wanted, wanted.rows, uint64_t{wanted.cols} * format.bits / 32));
  const Shape scale_shape = shape(wanted, wanted.rows, scales_per_row(format, wanted.cols));
  require_shape(scales, scale_shape);

  StoredMatrix matrix = packed(wanted, format, weight);
  add_scales(wanted, scales, matrix);
  if (!biases) return matrix;
  require_shape(biases, scale_shape);
  if (biases.entry->dtype != scale_type) {
    fail(biases.name, fmt::format("is {}, must be {} like its scales", biases.entry->dtype_name(),
                                  scales.entry->dtype_name()));
  }
  matrix.first.biases = PlaneRef{use(biases.name, *biases.entry), 0, matrix.first.scales->row_stride};
  matrix.biases_step = matrix.scales_step;
  return matrix;
}

// ---- FP8 with block scales: specs/formats.md 4.2 and specs/deepseek_v4.md 4.1 ---------------------------------------

namespace {

// Block sizes behind a grid of scales, 0 for "all of it"; empty if no size fits. The configured block is tried first: a
// quantiser cuts off the last blocks, so 192 rows in 2 block rows are 128 and 64. Only a grid that does not fit it is
// read as an exact division.
struct Blocks {
  uint64_t rows, cols;
};
std::optional<Blocks> read_grid(uint64_t rows, uint64_t cols, uint64_t grid_rows, uint64_t grid_cols,
                                Blocks told) {
  if (told.rows > 0 && grid_rows == ceil_div(rows, told.rows) && grid_cols == ceil_div(cols, told.cols))
    return told;
  if (grid_rows == 1 && grid_cols == 1) return Blocks{0, 0};
  if (grid_rows == 0 || grid_cols == 0 || rows % grid_rows != 0 || cols % grid_cols != 0) return std::nullopt;
  const Blocks exact{grid_rows == 1 ? 0 : rows / grid_rows, grid_cols == 1 ? 0 : cols / grid_cols};
  if (exact.rows > UINT16_MAX || exact.cols > UINT16_MAX) return std::nullopt;
  return exact;
}

}  // namespace

StoredMatrix TensorLookup::fp8(const Wanted& wanted, const Found& weight) {
  require_shape(weight, shape(wanted, wanted.rows, wanted.cols));
  const Found scales =
      find_first(wanted.path, {".weight_scale_inv", ".scale", "_scale_inv", ".weight_scale"});
  if (!scales) fail(weight.name, fmt::format("is F8_E4M3, but {} is missing", scales.name));

  const DType type = scales.entry->dtype;
  const FloatRow* row = float_row(type);
  if (type != DType::kF8E8M0 && row == nullptr) {
    fail(scales.name, fmt::format("is {}, must be F32, BF16 or F8_E8M0", scales.entry->dtype_name()));
  }
  Shape grid = scales.entry->shape;
  if (wanted.stack > 0) {
    if (grid.rank() == 0 || grid[0] != wanted.stack) {
      fail(scales.name,
           fmt::format("has shape {}, must begin with {} experts", to_string(grid), wanted.stack));
    }
    Shape one;
    for (const uint64_t dim : grid.dims().subspan(1)) one.push_back(dim);
    grid = one;
  }
  const bool two = grid.rank() == 2;
  const bool single = grid.elements() == uint64_t{1};
  std::optional<Blocks> blocks;
  if (two || single) {
    const bool told = quant_.method == QuantMethod::kFp8;
    const Blocks block{told ? quant_.block_rows : 128, told ? quant_.block_cols : 128};
    blocks = read_grid(wanted.rows, wanted.cols, two ? grid[0] : 1, two ? grid[1] : 1, block);
  }
  if (!blocks) {
    fail(scales.name, fmt::format("has shape {}, which is no grid of blocks over {} x {}",
                                  to_string(scales.entry->shape), wanted.rows, wanted.cols));
  }
  const WeightFormat format{.codec = CodecId::kFp8Block,
                            .scale = row != nullptr ? row->scale : ScaleType::kE8M0,
                            .bits = 8,
                            .group = static_cast<uint16_t>(blocks->cols),
                            .block_rows = static_cast<uint16_t>(blocks->rows)};
  check_format(format, wanted.cols, weight.name);
  StoredMatrix matrix = packed(wanted, format, weight);
  add_scales(wanted, scales, matrix);
  return matrix;
}

// ---- FP4, two codes per byte: DeepSeek's MXFP4, and NVFP4 of ModelOpt and compressed-tensors -------------------------

StoredMatrix TensorLookup::fp4(const Wanted& wanted, const Found& weight) {
  const Found scales =
      find_first(wanted.path, {".scale", ".weight_scale_inv", "_scale_inv", ".weight_scale"});
  if (!scales) fail(weight.name, fmt::format("holds bytes, but {} is missing", scales.name));
  const bool mx = is_e8m0(scales.entry->dtype);
  if (!mx && scales.entry->dtype != DType::kF8E4M3) {
    fail(scales.name,
         fmt::format("is {}, must be F8_E8M0 (mxfp4) or F8_E4M3 (nvfp4)", scales.entry->dtype_name()));
  }
  const WeightFormat format{.codec = mx ? CodecId::kMxFp4 : CodecId::kNvFp4,
                            .scale = mx ? ScaleType::kE8M0 : ScaleType::kE4M3,
                            .bits = 4,
                            .group = static_cast<uint16_t>(mx ? 32 : 16)};
  check_format(format, wanted.cols, weight.name);
  require_shape(weight, shape(wanted, wanted.rows, wanted.cols / 2));
  require_shape(scales, shape(wanted, wanted.rows, wanted.cols / format.group));
  StoredMatrix matrix = packed(wanted, format, weight);
  add_scales(wanted, scales, matrix);
  if (mx) return matrix;

  const Found global = find_first(wanted.path, {".weight_scale_2", ".weight_global_scale"});
  if (!global) fail(weight.name, fmt::format("is nvfp4, but {} is missing", global.name));
  if (wanted.stack > 0 || global.entry->dtype != DType::kF32 ||
      global.entry->shape.elements() != uint64_t{1}) {
    unsupported(global.name, fmt::format("is {} {}, must be one F32 per matrix", global.entry->dtype_name(),
                                         to_string(global.entry->shape)));
  }
  matrix.first.global_scale =
      ScalarRef{use(global.name, *global.entry), 0, global.name.ends_with(".weight_global_scale")};
  return matrix;
}

// ---- gpt-oss --------------------------------------------------------------------------------------------------------

StoredMatrix TensorLookup::mxfp4_blocks(const std::string& path, uint32_t stack, uint32_t rows,
                                        uint32_t cols) {
  const Wanted wanted{path, stack, rows, cols};
  const WeightFormat format{.codec = CodecId::kMxFp4, .scale = ScaleType::kE8M0, .bits = 4, .group = 32};
  const Found blocks{path + "_blocks", &require(path + "_blocks")};
  const Found scales{path + "_scales", &require(path + "_scales")};
  check_format(format, cols, blocks.name);
  require_shape(blocks, Shape{stack, rows, cols / 32, 16});
  require_shape(scales, Shape{stack, rows, cols / 32});
  for (const Found& tensor : {blocks, scales}) {
    if (tensor.entry->dtype != DType::kU8) {
      fail(tensor.name, fmt::format("is {}, must be U8", tensor.entry->dtype_name()));
    }
  }
  StoredMatrix matrix = packed(wanted, format, blocks);
  add_scales(wanted, scales, matrix);
  return matrix;
}

StoredMatrix TensorLookup::transposed(const std::string& path, uint32_t stack, uint32_t rows, uint32_t cols) {
  const Found weight = find_first(path, {"", ".weight"});
  if (!weight) fail(weight.name, "is missing");
  const FloatRow* row = float_row(weight.entry->dtype);
  if (row == nullptr) {
    unsupported(weight.name, fmt::format("is {}, must be BF16, F16 or F32 (or MXFP4 as {}_blocks)",
                                         weight.entry->dtype_name(), path));
  }
  require_shape(weight, Shape{stack, cols, rows});
  StoredMatrix matrix;
  matrix.first.format = dense_format(*row);
  matrix.first.rows = rows;
  matrix.first.cols = cols;
  matrix.first.codes = {use(weight.name, *weight.entry), 0, row->bytes};
  matrix.first.transposed = true;
  matrix.first.col_stride = uint64_t{rows} * row->bytes;
  matrix.codes_step = cols * matrix.first.col_stride;
  return matrix;
}

// ---- floats and integers that are not matrices -----------------------------------------------------------------------

VectorRef TensorLookup::vector(const std::string& name, std::span<const uint64_t> wanted) {
  const CatalogEntry& entry = require(name);
  const FloatRow* row = float_row(entry.dtype);
  if (row == nullptr) fail(name, fmt::format("is {}, must be BF16, F16 or F32", entry.dtype_name()));
  if (!(without_ones(entry.shape.dims()) == without_ones(wanted))) {
    fail(name, fmt::format("has shape {}, must be [{}]", to_string(entry.shape), fmt::join(wanted, ", ")));
  }
  VectorRef ref;
  ref.type = row->codec;
  ref.tensor = use(name, entry);
  ref.count = entry.shape.elements().value_or(0);
  ref.stride = row->bytes;
  return ref;
}

IntRef TensorLookup::integers(const std::string& name, uint32_t rows, uint32_t cols) {
  const CatalogEntry& entry = require(name);
  if (entry.dtype != DType::kI64 && entry.dtype != DType::kI32) {
    fail(name, fmt::format("is {}, must be I64 or I32", entry.dtype_name()));
  }
  require_shape({name, &entry}, Shape{rows, cols});
  return {use(name, entry), 0, rows, cols, static_cast<uint8_t>(entry.dtype == DType::kI64 ? 8 : 4)};
}

}  // namespace mach
