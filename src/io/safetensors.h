// A safetensors file mapped into memory, its header checked (safetensors_header.h). Tensor bytes may start at any
// address, odd ones included: read them with unaligned loads (base/half.h). Immutable, so any thread may read.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <utility>

#include "base/mapped_file.h"
#include "io/safetensors_header.h"

namespace mach {

class SafetensorsFile {
 public:
  // Throws kNotFound, kIo or kCorruptFile.
  static SafetensorsFile open(const std::filesystem::path& path, HolePolicy holes = HolePolicy::kRefuse);

  const std::filesystem::path& path() const noexcept { return file_.path(); }
  const SafetensorsHeader& header() const noexcept { return header_; }
  std::span<const TensorInfo> tensors() const noexcept { return header_.tensors(); }
  const TensorInfo* find(std::string_view name) const noexcept { return header_.find(name); }
  // Throws kCorruptFile when the file has no such tensor.
  const TensorInfo& at(std::string_view name) const;

  // The bytes of one of this file's tensors. Throws kUnsupported when its dtype is not known.
  std::span<const std::byte> data(const TensorInfo& tensor) const;
  std::span<const std::byte> data(std::string_view name) const { return data(at(name)); }

  const MappedFile& mapping() const noexcept { return file_; }

 private:
  SafetensorsFile(MappedFile file, SafetensorsHeader header)
      : file_(std::move(file)), header_(std::move(header)) {}

  MappedFile file_;
  SafetensorsHeader header_;
};

}  // namespace mach
