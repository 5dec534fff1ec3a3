#include "kernels/kernel_set.h"

#include <algorithm>
#include <string>

#include "mach/error.h"

namespace mach {

const kernel::FormatKernels* KernelSet::find_format(const WeightFormat& format) const noexcept {
  const auto row = std::find_if(formats.begin(), formats.end(), [&](const kernel::FormatKernels& f) {
    return f.codec == format.codec && f.bits == format.bits;
  });
  return row == formats.end() ? nullptr : &*row;
}

float KernelSet::dot(std::span<const float> a, std::span<const float> b) const noexcept {
  const kernel::Rows row{reinterpret_cast<const std::byte*>(a.data()), 0, 1};
  const float* column = b.data();
  float sum = 0.0F;
  dot_rows_f32(row, static_cast<uint32_t>(a.size()), &column, 1, &sum, 1);
  return sum;
}

const KernelSet& select_kernel_set(CpuFeatures available, std::string_view forced) {
  const auto sets = kernel_sets();
  if (forced.empty()) {
    return **std::find_if(sets.begin(), sets.end(),
                          [&](const KernelSet* set) { return available.has(set->required); });
  }
  std::string names;
  for (const KernelSet* set : sets) {
    if (set->name != forced) {
      names += (names.empty() ? "" : ", ") + std::string(set->name);
      continue;
    }
    if (available.has(set->required)) return *set;
    const CpuFeatures missing{set->required.bits & ~available.bits};
    throw Error(ErrorCode::kUnsupported,
                "kernel set '" + std::string(forced) + "': this machine has no " + to_string(missing));
  }
  throw Error(ErrorCode::kUnsupported,
              "no kernel set '" + std::string(forced) + "' in this program; it has " + names);
}

}  // namespace mach
