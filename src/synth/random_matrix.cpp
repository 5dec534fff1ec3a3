#include "synth/random_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/half.h"
#include "quant/codec.h"
#include "quant/decode.h"

namespace mach::synth {
namespace {

constexpr double kE2M1Deviation = 2.926;     // of the sixteen values, all equally likely
constexpr double kBinadeDeviation = 1.5275;  // of +-[1, 2), uniform
constexpr double kFp8Deviation = 1.19;       // of the E4M3 values with exponent 6 or 7: +-[0.5, 2)
constexpr uint8_t kFp8Exponent = 6U << 3;
constexpr uint16_t kBF16Free = 0x807fU;  // sign and fraction

// Bytes first, first + 1, ... of the stream; first is a multiple of 8.
void random_bytes(const CounterRandom& random, uint64_t first, std::span<std::byte> out) {
  uint64_t word = first / 8;
  std::byte* p = out.data();
  size_t left = out.size();
  for (; left >= 8; left -= 8, p += 8) {
    const uint64_t bits = random.at(word++);
    std::memcpy(p, &bits, 8);
  }
  if (left == 0) return;
  const uint64_t bits = random.at(word);
  std::memcpy(p, &bits, left);
}

uint64_t padded(uint64_t bytes) { return (bytes + 7) / 8 * 8; }

int exponent_of(double value) { return static_cast<int>(std::lround(std::log2(value))); }

// Random bits become numbers of the codec: floats get their exponent, packed codes are numbers as they are.
void shape_codes(const WeightFormat& format, double deviation, std::span<std::byte> codes) {
  if (format.codec == CodecId::kBF16) {
    const auto exponent = static_cast<uint16_t>((127 + exponent_of(deviation / kBinadeDeviation)) << 7);
    for (size_t i = 0; i + 1 < codes.size(); i += 2) {
      uint16_t v = 0;
      std::memcpy(&v, &codes[i], 2);
      v = static_cast<uint16_t>((v & kBF16Free) | exponent);
      std::memcpy(&codes[i], &v, 2);
    }
  } else if (format.codec == CodecId::kF32) {
    const auto exponent = static_cast<uint32_t>(127 + exponent_of(deviation / kBinadeDeviation)) << 23;
    for (size_t i = 0; i + 3 < codes.size(); i += 4) {
      uint32_t v = 0;
      std::memcpy(&v, &codes[i], 4);
      v = (v & 0x807fffffU) | exponent;
      std::memcpy(&codes[i], &v, 4);
    }
  } else if (format.codec == CodecId::kFp8Block) {
    for (std::byte& code : codes) code = (code & std::byte{0x8f}) | std::byte{kFp8Exponent};
  }
}

// The largest positive number of the codec, in all components.
void constant_codes(const WeightFormat& format, double deviation, std::span<std::byte> codes) {
  std::fill(codes.begin(), codes.end(), format.codec == CodecId::kMxFp4 ? std::byte{0x77} : std::byte{0xff});
  if (format.codec != CodecId::kBF16) return;
  for (size_t i = 1; i < codes.size(); i += 2) codes[i] = std::byte{0x7f};
  shape_codes(format, deviation, codes);
}

double affine_deviation(const WeightFormat& format) {
  const double levels = 1U << format.bits;
  return std::sqrt((levels * levels - 1) / 12.0);
}

// Four bits of fraction, so that the bias of 4-bit codes is exact in bf16.
float affine_scale(const WeightFormat& format, double deviation) {
  const double scale = deviation / affine_deviation(format);
  const double unit = std::exp2(std::floor(std::log2(scale)) - 3);
  return static_cast<float>(std::round(scale / unit) * unit);
}

float affine_bias(const WeightFormat& format, double deviation) {
  return -0.5F * static_cast<float>((1U << format.bits) - 1) * affine_scale(format, deviation);
}

uint8_t power_scale(const WeightFormat& format, double deviation) {
  const double unit = format.codec == CodecId::kFp8Block ? kFp8Deviation : kE2M1Deviation;
  return static_cast<uint8_t>(127 + exponent_of(deviation / unit));
}

void fill_bf16(std::span<std::byte> out, float value) {
  const uint16_t bits = f32_to_bf16(value);
  for (size_t i = 0; i + 1 < out.size(); i += 2) std::memcpy(&out[i], &bits, 2);
}

void fill_scales(const WeightFormat& format, double deviation, std::span<std::byte> out) {
  if (format.codec == CodecId::kAffine) return fill_bf16(out, affine_scale(format, deviation));
  std::fill(out.begin(), out.end(), std::byte{power_scale(format, deviation)});
}

bool is_zero_row(const MatrixRecipe& recipe, uint64_t row) {
  const uint64_t within = recipe.matrix_rows == 0 ? row : row % recipe.matrix_rows;
  return within < recipe.zero_rows;
}

// Calls body(row, its bytes) for every row of out.
template <class Body>
void for_rows(uint64_t first_row, uint64_t row_bytes, std::span<std::byte> out, Body&& body) {
  for (uint64_t i = 0; i * row_bytes < out.size(); ++i)
    body(first_row + i, out.subspan(i * row_bytes, row_bytes));
}

// Columns [0, cols) of a row of codes.
std::span<std::byte> first_columns(const WeightFormat& format, uint32_t cols, std::span<std::byte> row) {
  return row.first(std::min<size_t>(row.size(), row_bytes(format, cols)));
}

// Scales in the part of a row that the routing components touch.
size_t routing_scale_bytes(const TokenTable& table) {
  return scale_row_bytes(table.matrix.format, table.subspace.dims);
}

}  // namespace

uint32_t topic_of(const RoutingSubspace& subspace, uint64_t topic_seed, uint64_t token) noexcept {
  return static_cast<uint32_t>(CounterRandom(topic_seed + 1).below(subspace.topics, token));
}

RowFill random_codes(const MatrixRecipe& recipe) {
  const uint64_t bytes = row_bytes(recipe.format, recipe.cols);
  return [recipe, bytes, random = CounterRandom(recipe.seed)](uint64_t first, std::span<std::byte> out) {
    for_rows(first, bytes, out, [&](uint64_t row, std::span<std::byte> codes) {
      if (is_zero_row(recipe, row)) {
        std::fill(codes.begin(), codes.end(), std::byte{0});
        return;
      }
      random_bytes(random, row * padded(bytes), codes);
      shape_codes(recipe.format, recipe.deviation, codes);
    });
  };
}

RowFill constant_scales(const MatrixRecipe& recipe) {
  const uint64_t bytes = scale_row_bytes(recipe.format, recipe.cols);
  return [recipe, bytes](uint64_t first, std::span<std::byte> out) {
    for_rows(first, bytes, out, [&](uint64_t row, std::span<std::byte> scales) {
      fill_scales(recipe.format, recipe.deviation, scales);
      if (recipe.format.codec == CodecId::kAffine && is_zero_row(recipe, row))
        std::fill(scales.begin(), scales.end(), std::byte{0});
    });
  };
}

RowFill constant_biases(const MatrixRecipe& recipe) {
  const uint64_t bytes = scale_row_bytes(recipe.format, recipe.cols);
  return [recipe, bytes](uint64_t first, std::span<std::byte> out) {
    for_rows(first, bytes, out, [&](uint64_t row, std::span<std::byte> biases) {
      fill_bf16(biases, is_zero_row(recipe, row) ? 0.0F : affine_bias(recipe.format, recipe.deviation));
    });
  };
}

RowFill token_codes(const TokenTable& table) {
  const WeightFormat& format = table.matrix.format;
  const uint64_t bytes = row_bytes(format, table.matrix.cols);
  std::vector<std::byte> constant(row_bytes(format, table.subspace.constant));
  constant_codes(format, table.routing_deviation, constant);
  return [table, bytes, constant, own = CounterRandom(table.matrix.seed),
          topics = CounterRandom(table.topic_seed)](uint64_t first, std::span<std::byte> out) {
    const WeightFormat& f = table.matrix.format;
    const RoutingSubspace& subspace = table.subspace;
    for_rows(first, bytes, out, [&](uint64_t token, std::span<std::byte> codes) {
      random_bytes(own, token * padded(bytes), codes);
      shape_codes(f, table.matrix.deviation, codes);
      const auto routing = first_columns(f, subspace.dims, codes);
      const auto shared = first_columns(f, subspace.constant + subspace.topic, codes);
      random_bytes(topics, topic_of(subspace, table.topic_seed, token) * padded(shared.size()), shared);
      shape_codes(f, table.routing_deviation, routing);
      std::copy(constant.begin(), constant.end(), codes.begin());
    });
  };
}

RowFill token_scales(const TokenTable& table) {
  const uint64_t bytes = scale_row_bytes(table.matrix.format, table.matrix.cols);
  return [table, bytes](uint64_t first, std::span<std::byte> out) {
    for_rows(first, bytes, out, [&](uint64_t, std::span<std::byte> scales) {
      fill_scales(table.matrix.format, table.matrix.deviation, scales);
      fill_scales(table.matrix.format, table.routing_deviation, scales.first(routing_scale_bytes(table)));
    });
  };
}

RowFill token_biases(const TokenTable& table) {
  const uint64_t bytes = scale_row_bytes(table.matrix.format, table.matrix.cols);
  return [table, bytes](uint64_t first, std::span<std::byte> out) {
    for_rows(first, bytes, out, [&](uint64_t, std::span<std::byte> biases) {
      fill_bf16(biases, affine_bias(table.matrix.format, table.matrix.deviation));
      fill_bf16(biases.first(routing_scale_bytes(table)),
                affine_bias(table.matrix.format, table.routing_deviation));
    });
  };
}

std::vector<float> routing_codes(const TokenTable& table, std::span<const uint64_t> tokens) {
  const WeightFormat& format = table.matrix.format;
  const uint32_t dims = table.subspace.dims;
  std::vector<std::byte> codes(row_bytes(format, table.matrix.cols));
  std::vector<std::byte> scales(scale_row_bytes(format, table.matrix.cols)), biases(scales.size());
  const RowFill fill_codes = token_codes(table);
  if (!scales.empty()) token_scales(table)(0, scales);
  if (format.codec == CodecId::kAffine) token_biases(table)(0, biases);
  WeightMatrix row{.format = format, .rows = 1, .cols = table.matrix.cols};
  row.codes = {.data = codes.data(), .row_stride = codes.size()};
  row.scales = {.data = scales.data(), .row_stride = scales.size()};
  row.biases = {.data = biases.data(), .row_stride = biases.size()};
  std::vector<float> decoded(table.matrix.cols);
  std::vector<float> out;
  out.reserve(tokens.size() * dims);
  for (const uint64_t token : tokens) {
    fill_codes(token, codes);
    decode_row(row, 0, decoded);
    out.insert(out.end(), decoded.begin(), decoded.begin() + dims);
  }
  return out;
}

}  // namespace mach::synth
