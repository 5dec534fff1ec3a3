// How much memory the weights of a checkpoint take once it is loaded in fast mode, which is not what they take in the file:
// formats with a panel order are packed (quant/packing.h), matrices stored input-major are turned, vectors and ids become
// fp32 and 32-bit numbers, and the pages of the file that they came from are let go. Rows of plain floats become 8-bit panels
// where a family says that they bear it, or are copied to huge pages if there are many. What is looked up or multiplied in
// fp32 stays in the mapped file. The loader follows the same rule and sizes its expert bank by the same sums. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "arch/model_config.h"
#include "arch/tensor_plan.h"
#include "quant/weight.h"

namespace mach {

// Bytes of one part of the weights.
struct HeldBytes {
  uint64_t packed = 0;  // in panel order, or rows copied to huge pages
  uint64_t copied = 0;  // turned matrices, fp32 vectors, ids
  uint64_t mapped = 0;  // pages of the files, once all of them have been read
  bool bf16 = false;    // some are bf16 and multiplied as such
  uint64_t total() const noexcept { return packed + copied + mapped; }
};

struct HeldWeights {
  HeldBytes resident;  // everything but routed experts
  HeldBytes experts;  // all routed experts, when they are held from the shards; 0 with ExpertLayout::kSidecar
};

// Matrices of this many bytes in all, routed experts included, are worth huge pages: in fast mode rows of plain floats leave the
// mapped file, too. Below it a copy would gain little and cost up to a huge page of memory and the time of a start.
inline constexpr uint64_t kHugePagesFrom = uint64_t{64} << 20;
uint64_t matrix_bytes(const TensorPlan& plan) noexcept;

// What fast mode makes of bf16, f16 and fp32 matrices that bear 8 bits (Parameter::eight_bit).
enum class FloatWeights : uint8_t {
  kEightBit,  // panels of 8 bits (quant/eight_bit.h), where a row is whole groups
  kKeep,
};
std::optional<FloatWeights> float_weights_named(std::string_view name) noexcept;  // "q8", "keep"

// The form in which fast mode holds each matrix that int8 and bf16 products read.
class HoldingRule {
 public:
  struct Form {
    WeightOrder order;
    WeightFormat format;  // that of the file, or kEightBit
  };

  explicit HoldingRule(const TensorPlan& plan, FloatWeights floats = FloatWeights::kEightBit,
                       uint64_t huge_pages_from = kHugePagesFrom) noexcept;

  // Is the memory of the loader on huge pages?
  bool large() const noexcept { return large_; }

  // Empty: it stays in the mapped file, or is turned.
  std::optional<Form> form(const WeightRef& ref) const noexcept;
  // The same if nobody multiplies panels of the format that form() says.
  std::optional<Form> form_in_rows(const WeightRef& ref) const noexcept;

 private:
  bool large_;
  bool eight_bit_;
};

// The plan is of this config.
HeldWeights held_weights(const ModelConfig& config, const TensorPlan& plan,
                         FloatWeights floats = FloatWeights::kEightBit);

}  // namespace mach
