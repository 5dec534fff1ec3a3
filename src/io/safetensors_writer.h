// Writes a safetensors file in one pass: all tensors are declared first, then their bytes follow in the same order. The
// file appears under its name when finish() has put it safely on the device; without finish() nothing is left behind.
// The header is padded so that the data begin at a multiple of 8; declare wide types first to keep tensors aligned.
// Single owner. A declaration or amount of bytes that does not fit is our own bug: Error{kInternal}.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "io/dtype.h"
#include "io/shape.h"

namespace mach {

struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
};

using SafetensorsMetadata = std::map<std::string, std::string>;

// The first 8 + N bytes of a file with these tensors, in this order, without holes.
std::string safetensors_header_text(std::span<const TensorSpec> tensors,
                                    const SafetensorsMetadata& metadata = {});

class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorSpec> tensors,
                    const SafetensorsMetadata& metadata = {});

  // The next bytes of the tensor being written: a tensor may come in pieces, a piece lies in one tensor.
  void write(std::span<const std::byte> bytes);
  // The tensor that the next bytes belong to; null when all are written.
  const TensorSpec* current() const noexcept;
  void finish();

 private:
  void skip_full_tensors();

  std::vector<TensorSpec> tensors_;
  AtomicFile file_;
  size_t next_ = 0;       // tensor being written
  uint64_t written_ = 0;  // bytes of it
};

// Whole tensors at hand: for tests and small outputs.
struct TensorData {
  TensorSpec spec;
  std::span<const std::byte> bytes;
};

std::vector<std::byte> serialize_safetensors(std::span<const TensorData> tensors,
                                             const SafetensorsMetadata& metadata = {});
void write_safetensors(const std::filesystem::path& path, std::span<const TensorData> tensors,
                       const SafetensorsMetadata& metadata = {});

}  // namespace mach
