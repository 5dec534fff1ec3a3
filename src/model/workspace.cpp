#include "model/workspace.h"

#include <algorithm>

namespace mach {
namespace {

// Below this a parallel region costs more than it saves: waking a worker takes some microseconds.
constexpr size_t kInlineFloats = 32768;

}  // namespace

Workspace::PreparedRows Workspace::prepare(const float* x, uint32_t count, uint32_t dim, size_t stride) {
  if (spare_.empty()) {
    spare_.reserve(prepared_ + 1);
    spare_.push_back(std::make_unique<Activations>());
    ++prepared_;
  }
  PreparedRows prepared(*this, std::move(spare_.back()));
  spare_.pop_back();
  prepared.value_->assign(x, count, dim, stride);
  return prepared;
}

Workspace::PreparedRows Workspace::prepare_pieces(uint32_t count, uint32_t dim) {
  PreparedRows prepared = prepare(nullptr, 0, dim, dim);
  prepared.value_->reserve_pieces(count, dim);
  return prepared;
}

void Workspace::for_rows(uint32_t count, size_t floats_per_row, FunctionRef<void(uint32_t row)> body) {
  if (threads() == 1 || count * floats_per_row < kInlineFloats) {
    for (uint32_t row = 0; row < count; ++row) body(row);
    return;
  }
  const size_t grain = std::max<size_t>(1, kInlineFloats / 2 / std::max<size_t>(floats_per_row, 1));
  compute_.pool.run_ranges(count, grain, [&](size_t begin, size_t end, size_t /*worker*/) {
    for (size_t row = begin; row < end; ++row) body(static_cast<uint32_t>(row));
  });
}

void Workspace::for_items(size_t items, size_t floats, FunctionRef<void(size_t item, size_t worker)> body) {
  if (threads() == 1 || items < 2 || floats < kInlineFloats) {
    for (size_t item = 0; item < items; ++item) body(item, 0);
    return;
  }
  compute_.pool.run(items, body);
}

}  // namespace mach
