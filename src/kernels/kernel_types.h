// The kernels that every instruction set provides, as function types (so `RmsNorm rms_norm;` declares one and `RmsNorm*`
// points to one). What each computes is said here, how is in
// kernels/scalar, which is the specification. Pointers and counts only, and nothing inline: the files that implement
// these are compiled with instruction-set flags, and an inline function of theirs could be the copy the linker keeps.
//
// Common rules. Weight bytes (`std::byte*`) lie at any address; float arrays are aligned as floats. n is any count,
// zero included. Inputs and outputs do not overlap unless a function says "in place". No kernel allocates or throws.
//
// Results are the same, bit for bit, on every instruction set, except int8_rows and bf16_rows. Sums of n terms follow one order: lane i
// of 16 takes elements i, i + 16, i + 32, ... with fused multiply-add (absent elements of the last step count as zeros);
// then lanes are added pairwise: i with i + 8, then i + 4, i + 2, i + 1.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/panel_layout.h"
#include "quant/weight.h"

namespace mach::kernel {

// count rows at a fixed distance in bytes.
struct Rows {
  const std::byte* data;
  uint64_t stride;
  uint32_t count;
};

// y[c * y_stride + r] = sum over i < n of row_r[i] * x[c][i]. Rows hold f32, f16 or bf16. A result does not depend on
// which other rows and columns are in the call.
using DotRows = void(Rows rows, uint32_t n, const float* const* x, uint32_t columns, float* y,
                     size_t y_stride) noexcept;

// y[c * y_stride + i] += sum over r of weights[c * weight_stride + r] * row_r[i], i < n; fused, in increasing r, starting
// from y's value. So a long sum may be split over several calls.
using MixRows = void(Rows rows, uint32_t n, const float* weights, size_t weight_stride, uint32_t columns,
                     float* y, size_t y_stride) noexcept;

// out [cols]: row `row` of `weight` as fp32, exactly as decode_row (quant/decode.h).
using DecodeRow = void(const WeightMatrix& weight, uint32_t row, float* out) noexcept;

// y[r] = row r of `weight` . x for r in [row_begin, row_end), straight from the codes, with the bits that decoding and
// dot_rows_f32 give. For cols and scale groups that are multiples of 32 and a global scale of 1.
using DotOne = void(const WeightMatrix& weight, uint32_t row_begin, uint32_t row_end, const float* x,
                    float* y) noexcept;

// Activations quantised per group of 32: x ~ scale * value, or with two terms x ~ scale * (value + low / 256). Row i begins
// at i * stride of each array; strides count elements. Arrays are padded with zeros: values to a multiple of 64, scales to a
// multiple of 16 (512 values).
struct Int8View {
  const int8_t* values;
  const int8_t* low;    // the second term, or null
  const float* scales;  // one per 32 values
  const float*
      sums;  // sum of the represented numbers over each group of the weight format (32 where the codec has no bias)
  const int32_t* totals;  // sum over every 16 of value, or of 256 * value + low
  size_t value_stride, scale_stride, sum_stride, total_stride;
};

// The product with int8 activations: y[i * y_stride + r] = w row r . x row columns[i] for r in [row_begin, row_end);
// columns null = 0, 1, ... In panel order row_begin is a multiple of 16. Integer sums per group are exact; fp32 rounding may differ between instruction sets, but a
// result does not depend on which other rows and columns are in the call. scratch: int8_scratch_bytes(cols), 64-aligned.
struct Int8Job {
  const WeightMatrix* weight;
  const PanelLayout* layout;  // of the weight, if it is in panel order
  uint32_t row_begin, row_end;
  Int8View x;
  const uint32_t* columns;
  uint32_t column_count;
  float* y;
  size_t y_stride;
  std::byte* scratch;
  const std::byte* next = nullptr;  // panels that the caller will probably want after these: worth a prefetch
};
using Int8Rows = void(const Int8Job& job) noexcept;

// Rows of codes that int8_rows unpacks at a time; its scratch is sized by it.
inline constexpr uint32_t kInt8RowTile = 8;

// Bytes of scratch that int8_panels may use. Not on the stack: a thread that reaches deeper for the first time may be given
// a huge page.
inline constexpr size_t kInt8PanelScratch = 56 * size_t{1024};

// Activations as bf16: x ~ high, or with two terms x ~ high + low, low being what rounding to bf16 left, rounded itself. Row i
// begins at i * stride elements of each array; rows are padded with zeros to a multiple of 32.
struct Bf16View {
  const std::byte* high;
  const std::byte* low;  // the second term, or null
  size_t stride;
};

// The product of bf16 rows, which may begin at any address, with bf16 activations: y[i * y_stride + r] as in Int8Job. Products
// of two elements are exact, sums fp32; subnormal numbers count as zero. Beside the rounding of x, a result is off by at most
// (n / 8 + 8) * 2^-24 of the sum of magnitudes. It does not depend on which other rows and columns are in the call, nor on
// where rows lie. scratch: kBf16Scratch bytes, 64-aligned.
struct Bf16Job {
  const WeightMatrix* weight;
  uint32_t row_begin, row_end;
  Bf16View x;
  const uint32_t* columns;
  uint32_t column_count;
  float* y;
  size_t y_stride;
  std::byte* scratch;
};
using Bf16Rows = void(const Bf16Job& job) noexcept;

inline constexpr size_t kBf16Scratch = 64 * size_t{1024};

// One row of activations: values [n rounded up to 64], scales [that / 32]. Per group of 32:
// amax = largest magnitude; scale = amax / 127, value = round to nearest even of x * (127 / amax). A group whose amax is
// below 1e-30 becomes zeros; one with a NaN or an infinity gets scale NaN, so that it shows in the result.
using QuantizeInt8 = void(const float* x, uint32_t n, int8_t* values, float* scales) noexcept;

// The second term of such a row: low [n rounded up to 64] = what scale * value leaves of x in steps of scale / 256, rounded to
// nearest even, at most 127 in magnitude. Zeros in groups whose scale is zero or not a number.
using RefineInt8 = void(const float* x, uint32_t n, const int8_t* values, const float* scales,
                        int8_t* low) noexcept;

// totals[g] = sum of 16 values, or of 256 * value + low where low is not null, from 16 g on; n is a multiple of 64.
using TotalInt8 = void(const int8_t* values, const int8_t* low, uint32_t n, int32_t* totals) noexcept;

// y = x * (1 / sqrt(sum(x * x) / n + eps)), then * w where w is not null. In place allowed (y == x).
using RmsNorm = void(const float* x, const float* w, float eps, uint32_t n, float* y) noexcept;

using Scale = void(float a, uint32_t n, float* y) noexcept;                 // y = a * y
using Add = void(const float* x, uint32_t n, float* y) noexcept;            // y = y + x
using Multiply = void(const float* x, uint32_t n, float* y) noexcept;       // y = y * x
using Axpy = void(float a, const float* x, uint32_t n, float* y) noexcept;  // y = fma(a, x, y)
using ScaleAxpy = void(float b, float a, const float* x, uint32_t n,
                       float* y) noexcept;  // y = fma(a, x, b * y)

// Gated activations: y = act(gate, up). In place allowed (y == gate or y == up).
enum class Gate : uint8_t {
  kSilu,         // g * sigmoid(g) * u
  kGeluTanh,     // gelu_tanh(g) * u
  kSiluLimited,  // g' = min(g, limit), u' = clamp(u, -limit, limit): g' * sigmoid(g') * u'
  kSwigluOai,    // the same g', u': (u' + 1) * g' * sigmoid(alpha * g')
};
struct GateParameters {
  Gate gate;
  float limit;  // kSiluLimited, kSwigluOai
  float alpha;  // kSwigluOai
};
using GatedActivation = void(const GateParameters& parameters, const float* g, const float* u, uint32_t n,
                             float* y) noexcept;

using SigmoidMultiply = void(const float* x, uint32_t n, float* y) noexcept;  // y = y * sigmoid(x)
using Unary = void(uint32_t n, float* y) noexcept;                            // in place
using SoftCap = void(float cap, uint32_t n, float* y) noexcept;               // y = cap * tanh(y / cap)

// In place: y = exp(y - m) / (sum exp(y - m) + exp(*sink - m)), m the largest of y and *sink. sink may be null (no such
// term). -infinity masks an element; if everything is masked the result is zeros.
using Softmax = void(const float* sink, uint32_t n, float* y) noexcept;

// Rotates `pairs` pairs in place: (a, b) -> (a cos - b sin, b cos + a sin). Half split: a = y[i], b = y[i + pairs];
// interleaved: a = y[2i], b = y[2i + 1]. Each result is fma of one product with the rounded other.
using Rope = void(const float* cos, const float* sin, uint32_t pairs, float* y) noexcept;

// Index of the largest element, the first of equals; NaN never wins. n > 0; 0 where all are NaN.
using ArgMax = uint32_t(const float* x, uint32_t n) noexcept;

// 16-bit floats lie at any address. Rounding is to nearest even, as in base/half.h.
using FromHalf = void(const std::byte* x, uint32_t n, float* y) noexcept;
using ToHalf = void(const float* x, uint32_t n, std::byte* y) noexcept;

// How one instruction set computes with one weight format. `dot_one` null: by way of decoded rows; `int8_rows` and `bf16_rows`
// null: the codec is always computed in fp32.
struct FormatKernels {
  CodecId codec;
  uint8_t bits;
  DecodeRow* decode;
  DotOne* dot_one;
  Int8Rows* int8_rows;
  Int8Rows* int8_panels;          // for matrices in panel order; scratch: kInt8PanelScratch
  Bf16Rows* bf16_rows = nullptr;  // fast mode, where the set multiplies bf16
};

}  // namespace mach::kernel
