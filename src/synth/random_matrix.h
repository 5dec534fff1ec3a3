// A random matrix in any codec, made row by row straight in its stored form: codes are bits of a counter-based generator,
// scales and biases constants that give the weights mean 0 and the wanted deviation. Row r of a plane is a pure function of
// the recipe and r, so rows can be made in any order, on any thread, and again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "quant/weight.h"
#include "synth/routing_design.h"

namespace mach::synth {

// Writes consecutive rows of a plane, from first_row on; out is a whole number of rows. Callable from any thread.
using RowFill = std::function<void(uint64_t first_row, std::span<std::byte> out)>;

struct MatrixRecipe {
  WeightFormat format;
  uint32_t cols = 0;
  uint64_t seed = 0;
  float deviation = 1.0F;
  // Of each matrix of a stack of matrices of `matrix_rows` rows the first `zero_rows` are zero (components of the residual
  // stream that are not written to). matrix_rows 0: one matrix.
  uint32_t matrix_rows = 0;
  uint32_t zero_rows = 0;
};

// A table with a row per token, whose first components are those of the routing subspace, with their own deviation.
struct TokenTable {
  MatrixRecipe matrix;
  RoutingSubspace subspace;
  uint64_t topic_seed = 0;
  float routing_deviation = 1.0F;
};

uint32_t topic_of(const RoutingSubspace& subspace, uint64_t topic_seed, uint64_t token) noexcept;

RowFill random_codes(const MatrixRecipe& recipe);
RowFill constant_scales(const MatrixRecipe& recipe);
RowFill constant_biases(const MatrixRecipe& recipe);  // kAffine

RowFill token_codes(const TokenTable& table);
RowFill token_scales(const TokenTable& table);
RowFill token_biases(const TokenTable& table);

// The routing components of these tokens, decoded: [tokens, subspace.dims].
std::vector<float> routing_codes(const TokenTable& table, std::span<const uint64_t> tokens);

}  // namespace mach::synth
