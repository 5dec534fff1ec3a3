// A whole safetensors file from memory: header parsed both ways, then every byte of every tensor is touched. The file is
// accepted or refused with an Error; nothing else may happen.
#include <cstddef>
#include <cstdint>
#include <span>

#include "mach/error.h"

#include "io/safetensors_header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  for (const mach::HolePolicy holes : {mach::HolePolicy::kRefuse, mach::HolePolicy::kWarn}) {
    try {
      const mach::SafetensorsHeader header = mach::parse_safetensors_header(file, size, "fuzz", holes);
      unsigned sum = 0;
      uint64_t end = header.data_begin();
      for (const mach::TensorInfo& tensor : header.tensors()) {
        for (const std::byte b : file.subspan(tensor.offset, tensor.size)) sum += static_cast<unsigned>(b);
        if (tensor.offset < end) __builtin_trap();  // tensors overlap each other or the header
        end = tensor.offset + tensor.size;
        if (header.find(tensor.name) != &tensor) __builtin_trap();
      }
      volatile unsigned keep = sum;
      static_cast<void>(keep);
    } catch (const mach::Error&) {  // the one way to refuse a file
    }
  }
  return 0;
}
