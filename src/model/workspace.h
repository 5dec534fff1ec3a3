// What a forward pass works with: compute threads and kernels, memory for intermediate values that is kept
// from pass to pass (a steady decode loop allocates nothing), and the observer of tests. One per engine
// thread; a model may be used with any workspace, a workspace by one pass at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/function_ref.h"
#include "kernels/activations.h"
#include "kernels/compute.h"
#include "kernels/product.h"
#include "model/caches/kv_rows.h"
#include "model/caches/row_ring.h"
#include "model/float_rows.h"
#include "model/model.h"
#include "model/scratch_arena.h"

namespace mach {

class Workspace {
 public:
  Workspace(ThreadPool& pool, const KernelSet& kernels)
      : compute_(pool, kernels, Numerics::kFast), row_runs_(pool.threads()) {}

  Compute& compute() noexcept { return compute_; }
  const KernelSet& kernels() const noexcept { return compute_.kernels; }
  size_t threads() const noexcept { return compute_.pool.threads(); }
  void set_numerics(Numerics numerics) noexcept { compute_.numerics = numerics; }

  ScratchArena& arena() noexcept { return arena_; }
  FloatRows rows(uint32_t count, uint32_t dim) {
    return {arena_.take<float>(size_t{count} * dim).data(), count, dim};
  }

  // All products in one parallel region.
  void multiply(std::span<const Product> products) { mach::multiply(compute_, products); }
  void multiply(std::initializer_list<Product> products) {
    mach::multiply(compute_, {products.begin(), products.size()});
  }

  // Rows as the input of products, prepared (quantised, in fast mode) at most once. Valid while the handle
  // lives; its buffers go back to the workspace.
  class PreparedRows {
   public:
    PreparedRows(Workspace& owner, std::unique_ptr<Activations> value)
        : owner_(&owner), value_(std::move(value)) {}
    PreparedRows(PreparedRows&&) noexcept = default;
    PreparedRows& operator=(PreparedRows&&) = delete;
    ~PreparedRows() {
      if (value_) owner_->spare_.push_back(std::move(value_));  // never reallocates, see prepare()
    }
    const Activations& operator*() const noexcept { return *value_; }
    Activations& to_fill() noexcept { return *value_; }

   private:
    friend class Workspace;
    Workspace* owner_;
    std::unique_ptr<Activations> value_;
  };
  PreparedRows prepare(const FloatRows& rows) { return prepare(rows.data, rows.count, rows.dim, rows.dim); }
  // `count` rows of `dim` floats, `stride` floats apart.
  PreparedRows prepare(const float* x, uint32_t count, uint32_t dim, size_t stride);

  // Rows that are still to be given piece by piece (Activations::set_piece).
  PreparedRows prepare_pieces(uint32_t count, uint32_t dim);

  // Calls body(row) for every row in [0, count), on several threads where count * floats_per_row (what one row
  // reads and writes) is worth it. For elementwise work.
  void for_rows(uint32_t count, size_t floats_per_row, FunctionRef<void(uint32_t row)> body);

  // Calls body(item, worker) for every item; in one thread where all of it is less than a region is worth.
  // `floats` is the work of all items together, in multiply-adds.
  void for_items(size_t items, size_t floats, FunctionRef<void(size_t item, size_t worker)> body);

  // At least `floats` for each worker, until the next call.
  void reserve_worker_floats(size_t floats) { worker_scratch_.reserve(threads(), floats * sizeof(float)); }
  float* worker_floats(size_t worker) noexcept {
    return reinterpret_cast<float*>(worker_scratch_.of(worker));
  }

  // Attention's list of the rows it reads, kept for its capacity.
  std::vector<KvRun>& kv_runs() noexcept { return kv_runs_; }
  std::vector<RowRing::Run>& row_runs(size_t worker) noexcept { return row_runs_[worker]; }

  HiddenObserver observer;  // empty: none
  // Called with the choices of every layer's pass, top_k expert ids per token. For measuring and tests; empty: none.
  std::function<void(uint32_t layer, std::span<const uint32_t> experts, uint32_t top_k)> routing_observer;

  void observe(uint32_t index, const FloatRows& hidden) const {
    if (observer) observer(index, hidden.span(), hidden.count);
  }

 private:
  Compute compute_;
  ScratchArena arena_;
  WorkerScratch worker_scratch_;
  std::vector<KvRun> kv_runs_;
  std::vector<std::vector<RowRing::Run>> row_runs_;  // per worker
  std::vector<std::unique_ptr<Activations>> spare_;
  size_t prepared_ = 0;  // objects that exist, in use or spare
};

}  // namespace mach
