// The input of one or several products: `count` rows of `dim` floats (each row is a column of the product, usually a
// token), prepared once however many matrices use it. In fast mode the int8 form is made when the first product needs it:
// values per group of 32 with an fp32 scale, and the sums of every group that affine and FP4 kernels need. So is the bf16 form,
// for sets that multiply bf16 weights as they are.
//
// An Activations object is meant to be kept and assigned again: its buffers only grow. Single owner; int8() and bf16() fill
// caches and therefore count as writes. The floats are not copied: they must stay unchanged while products use the object.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/aligned_buffer.h"
#include "base/function_ref.h"
#include "kernels/compute.h"

namespace mach {

class Activations {
 public:
  Activations() = default;
  Activations(const float* x, uint32_t count, uint32_t dim) { assign(x, count, dim); }

  // Views rows at x + i * stride (stride in floats; 0 = dim). Drops the forms of what was assigned before: call it
  // again whenever the floats have changed, also at the same address.
  void assign(const float* x, uint32_t count, uint32_t dim, size_t stride = 0) noexcept;

  // Instead: `count` rows of `dim` values that are given piece by piece, in fast mode; there are no floats to ask for
  // (row()), only int8() of one term, when every piece of every row has been set.
  void reserve_pieces(uint32_t count, uint32_t dim);
  // Values first, first + 1, ... of row i; first is a multiple of 128, and so is the size unless the row ends there. Any
  // thread, each piece once.
  void set_piece(const KernelSet& kernels, uint32_t i, uint32_t first,
                 std::span<const float> values) noexcept;

  uint32_t count() const noexcept { return count_; }
  uint32_t dim() const noexcept { return dim_; }
  const float* row(uint32_t i) const noexcept { return x_ + i * stride_; }

  // The int8 form with sums per `sum_group` inputs (16, 32, 64 or 128), quantised on the first call after assign(); many
  // rows are shared out to the pool, so not from inside a parallel region. The form of two terms (`low` is not null) has
  // 15 to 16 significant bits instead of 7 to 8.
  enum class Terms : uint8_t { kOne, kTwo };
  kernel::Int8View int8(Compute& compute, uint32_t sum_group, Terms terms = Terms::kOne) const;

  // The bf16 form, made on the first call as the int8 form is: 8 significant bits, or 16 of two terms. A number that
  // bf16 rounds to infinity shows in the result as infinity or, of two terms, as NaN.
  kernel::Bf16View bf16(Compute& compute, Terms terms = Terms::kOne) const;

 private:
  // Sums of what the values stand for: of one term, or of two.
  struct Sums {
    AlignedBuffer totals;  // [count][dim rounded up to 64, / 16] int32
    AlignedBuffer floats;  // [count][sums per 16 | per 32 | per 64 | per 128] fp32
    bool valid = false;
  };
  void quantize(Compute& compute, Terms terms) const;
  void for_rows(Compute& compute, FunctionRef<void(uint32_t i)> prepare_row) const;
  void quantize_row(const KernelSet& kernels, uint32_t i) const noexcept;
  void refine_row(const KernelSet& kernels, uint32_t i) const noexcept;
  void sum_row(const KernelSet& kernels, uint32_t i, Terms terms, uint32_t begin,
               uint32_t end) const noexcept;
  void grow_one_term(Sums& sums) const;
  void round_row(const KernelSet& kernels, uint32_t i, Terms terms) const noexcept;

  const float* x_ = nullptr;
  uint32_t count_ = 0;
  uint32_t dim_ = 0;
  size_t stride_ = 0;

  mutable AlignedBuffer values_;  // [count][dim rounded up to 64] int8
  mutable AlignedBuffer low_;     // the same, of two terms
  mutable AlignedBuffer scales_;  // [count][dim / 32, rounded up to even] fp32
  mutable Sums sums_[2];          // by Terms

  mutable AlignedBuffer bf16_high_;  // [count][bf16 stride]
  mutable AlignedBuffer bf16_low_;   // the same, of two terms
  mutable bool bf16_valid_[2] = {};  // by Terms
};

}  // namespace mach
