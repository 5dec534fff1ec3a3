// A model catalogue from any server: parsed, or refused with mach::Error.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mach/error.h"

#include "io/hub/catalog.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto models = mach::parse_catalog({reinterpret_cast<const char*>(data), size}, "catalogue");
    for (const mach::CatalogModel& model : models) {
      if (model.name.empty()) __builtin_trap();
      for (const unsigned char c : model.name) {
        if (c < 0x20 || c == 0x7F) __builtin_trap();
      }
    }
  } catch (const mach::Error&) {  // the one way to refuse a document
  }
  return 0;
}
