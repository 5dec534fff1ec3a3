#include "kernels/compute.h"

namespace mach {

void WorkerScratch::reserve(size_t workers, size_t bytes) {
  if (blocks_.size() < workers) blocks_.resize(workers);
  for (AlignedBuffer& block : blocks_) {
    if (block.size() < bytes) block = AlignedBuffer(bytes);
  }
}

}  // namespace mach
