// The weights of a model, bound to their names: a TensorPlan says where every parameter lies, a WeightStore
// maps the shards and answers with views. Matrices stay in the mapping (nothing is read until a product
// touches it), except transposed ones, which are turned once; vectors become fp32, their `add` applied; the
// store owns both. Binding is done while a model is opened, by one thread; what was handed out lives and stays
// where it is as long as the store, and may be read by any thread.
//
// In fast mode the matrices of linear layers and routed experts whose format has a panel order (quant/packing.h) are packed
// into memory of the store's own, on huge pages where the system gives them; the mapped pages they came from are let go, so
// that there is one copy of a weight. What is computed exactly (Precision::kExact), and what matrix() returns, stays mapped.
//
// Rows of plain floats (bf16, f16, fp32) become 8-bit panels where the family says that they bear it (FloatWeights). Others
// already have the order of their kernels, and are copied all the same unless the model is small: pages
// of a mapped file are 4 KiB, and a pass looks up their translations anew each time, in a virtual machine through the tables of
// guest and host. Loading takes longer by the copy (1.4 to 1.7 s per GB where the host hands out fresh memory on demand, see
// docs/PERFORMANCE.md). The peak of memory stays about the same: mapped pages are let go piece by piece.
//
// matrix() and vector() throw Error{kInternal} for a name that the family does not have (TensorPlan), and
// Error{kCorruptFile} for a view that does not fit its tensor.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "arch/held_weights.h"
#include "arch/tensor_plan.h"
#include "base/aligned_buffer.h"
#include "base/huge_arena.h"
#include "base/thread_pool.h"
#include "experts/expert_provider.h"
#include "io/checkpoint_files.h"
#include "kernels/compute.h"
#include "model/blocks/linear.h"

namespace mach {

// How a store holds what it hands out.
struct LoadOptions {
  Numerics numerics = Numerics::kExact;
  const KernelSet* kernels =
      nullptr;                 // in fast mode: formats are packed for which it has kernels. Null: none are
  ThreadPool* pool = nullptr;  // shares the packing; null: the calling thread alone
  FloatWeights float_weights = FloatWeights::kEightBit;
  // From this many bytes of matrices on, the store's own memory is on huge pages, and rows of plain floats are copied there.
  uint64_t huge_pages_from = kHugePagesFrom;
  // Called after each matrix or layer of experts with the bytes packed so far, and all that will be if everything is bound.
  std::function<void(uint64_t done, uint64_t total)> progress;
};

// A table of ids [rows, cols], e.g. the experts of each token (tid2eid).
struct IdTable {
  std::span<const uint32_t> ids;
  uint32_t cols = 0;
  std::span<const uint32_t> row(size_t r) const noexcept { return ids.subspan(r * cols, cols); }
};

class WeightStore {
 public:
  // The plan was made from the catalog of these files.
  WeightStore(CheckpointFiles files, TensorPlan plan, LoadOptions options = {})
      : files_(std::move(files)),
        plan_(std::move(plan)),
        options_(std::move(options)),
        rule_(plan_, options_.float_weights, options_.huge_pages_from) {}
  WeightStore(const WeightStore&) = delete;
  WeightStore& operator=(const WeightStore&) = delete;

  const TensorPlan& plan() const noexcept { return plan_; }
  FloatWeights float_weights() const noexcept { return options_.float_weights; }

  WeightMatrix matrix(std::string_view name);
  std::span<const float> vector(std::string_view name);
  std::span<const float> vector_or_empty(std::string_view name);  // empty if the checkpoint has none
  // Every id below `limit`, otherwise Error{kCorruptFile}.
  IdTable ids(std::string_view name, uint32_t limit);

  // The matrix `name` with the vector `name`.bias, if there is one.
  Linear linear(std::string_view name, Precision precision = Precision::kByMode);
  // The rows of matrix `name` in `groups` equal parts, each a matrix of its own. Views, except where a part would begin
  // inside a block of rows that share scales: those are decoded to fp32.
  std::vector<Linear> row_groups(std::string_view name, uint32_t groups);
  // `base`.gate_proj, .up_proj, .down_proj.
  GatedMlp gated_mlp(std::string_view base);

  // Are routed experts held in the order of fast kernels in this mode?
  bool packs_experts(Numerics numerics) const noexcept { return numerics == Numerics::kFast; }
  std::vector<std::filesystem::path> shard_paths() const;

  // All routed experts as a provider over mapped or packed weights. The store must outlive it.
  std::unique_ptr<ExpertProvider> resident_experts(uint32_t layer_count);

  // Reads every scale and bias of quantised matrices, routed experts included, for files that nobody vouches for.
  // Throws Error{kCorruptFile} naming the tensor if one is not a finite number. At about the speed of the disk.
  void check_scales();

  // Hints the kernel to read every shard now.
  void will_need() const noexcept;

 private:
  std::span<const std::byte> tensor_bytes(uint32_t tensor) const;
  std::span<const std::byte> view_bytes(uint32_t tensor, uint64_t offset, uint64_t size) const;
  Plane bind_plane(const PlaneRef& plane, uint64_t rows, uint64_t row_bytes) const;
  WeightMatrix bind(const WeightRef& ref);
  void turn(const WeightRef& ref, WeightMatrix& out);
  std::span<const float> bind(const VectorRef& ref);
  float scalar(const ScalarRef& ref) const;
  const float* bias(const std::optional<VectorRef>& ref);

  // The form in which a matrix of a linear layer or an expert is copied to the store's own memory; empty: it stays mapped.
  std::optional<HoldingRule::Form> packed_form(const WeightRef& ref) const noexcept;
  uint64_t packed_bytes(const WeightRef& ref) const noexcept;
  uint64_t packed_total() const noexcept;
  std::span<std::byte> own_memory(uint64_t size);
  // The matrices as products want them, what is copied in one piece of memory.
  std::vector<WeightMatrix> pack(std::span<const WeightRef* const> refs);
  void let_go(std::span<const WeightRef* const> refs) const noexcept;
  void release(const WeightRef& ref) const noexcept;

  CheckpointFiles files_;
  TensorPlan plan_;
  LoadOptions options_;
  HoldingRule rule_;
  uint64_t packed_so_far_ = 0;
  std::vector<AlignedBuffer>
      owned_;        // turned matrices, fp32 vectors, ids; of a small model also what is packed
  HugeArena arena_;  // what is packed
};

}  // namespace mach
