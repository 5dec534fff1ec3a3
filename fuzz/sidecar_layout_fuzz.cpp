// expert_sidecar/layout.json: what is accepted keeps every plane inside its record and apart from the others, and means
// the same when it is written again.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mach/error.h"

#include "arch/sidecar_layout.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mach::SidecarLayout layout;
  try {
    layout = mach::parse_sidecar_layout({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const mach::Error&) {  // the one way to refuse a layout
    return 0;
  }
  for (const mach::SidecarLayer& layer : layout.layers) {
    if (layer.checksums.size() != layer.experts) __builtin_trap();
    uint64_t end = 0;
    for (const mach::MatrixRecord& matrix : layer.record.matrices) {
      for (const mach::PlaneRange& plane : matrix.planes) {
        if (plane.size == 0) continue;
        if (plane.offset < end || plane.size > layer.record.size - plane.offset) __builtin_trap();
        end = plane.offset + plane.size;
      }
    }
  }
  const mach::SidecarLayout again = mach::parse_sidecar_layout(mach::sidecar_layout_text(layout), "again");
  for (size_t i = 0; i < layout.layers.size(); ++i) {
    if (!(again.layers[i].record == layout.layers[i].record)) __builtin_trap();
  }
  return 0;
}
