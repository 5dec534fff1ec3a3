// The header of a safetensors file, checked in full before anything trusts it: sizes, JSON, names, shapes, and that the
// tensors tile the data area without overlap, hole or rest. It needs the first 8 + N bytes and the file's size only, so
// it also serves files that are not here (a range request to the hub).
//
// Layout: u64 N, then N bytes of JSON {"name": {"dtype": "BF16", "shape": [..], "data_offsets": [begin, end]}, ...} with
// an optional "__metadata__" {string: string}, then the data. Source: safetensors format text (2026-05).
// Every refusal is an Error{kCorruptFile} that names the file and, once known, the tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/dtype.h"
#include "io/shape.h"

namespace mach {

inline constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;  // bytes; the reference reader's limit
inline constexpr size_t kMaxSafetensorsTensors = size_t{1} << 20;
inline constexpr size_t kMaxTensorName = 1024;  // bytes

struct TensorInfo {
  std::string name;
  DType dtype = DType::kUnknown;
  std::string unknown_dtype;  // as written, where dtype is kUnknown
  Shape shape;
  uint64_t offset = 0;  // bytes from the start of the file
  uint64_t size = 0;    // bytes

  std::string_view dtype_name() const noexcept {
    return dtype == DType::kUnknown ? std::string_view(unknown_dtype) : dtype_row(dtype).name;
  }
};

enum class HolePolicy : uint8_t {
  kRefuse,
  kWarn,  // bytes that belong to no tensor are reported and left alone; overlaps are refused as ever
};

// Immutable after parsing. Move-only: the index points into `tensors`.
class SafetensorsHeader {
 public:
  SafetensorsHeader(SafetensorsHeader&&) noexcept = default;
  SafetensorsHeader& operator=(SafetensorsHeader&&) noexcept = default;
  SafetensorsHeader(const SafetensorsHeader&) = delete;
  SafetensorsHeader& operator=(const SafetensorsHeader&) = delete;
  ~SafetensorsHeader() = default;

  std::span<const TensorInfo> tensors() const noexcept { return tensors_; }  // in file order
  const TensorInfo* find(std::string_view name) const noexcept;              // null when absent
  const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }
  uint64_t data_begin() const noexcept { return data_begin_; }  // bytes from the start of the file
  uint64_t file_size() const noexcept { return file_size_; }
  const std::vector<std::string>& warnings() const noexcept { return warnings_; }  // HolePolicy::kWarn only

 private:
  friend SafetensorsHeader parse_safetensors_header(std::span<const std::byte>, uint64_t, std::string_view,
                                                    HolePolicy);
  SafetensorsHeader() = default;

  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, uint32_t> by_name_;
  std::map<std::string, std::string> metadata_;
  uint64_t data_begin_ = 0;
  uint64_t file_size_ = 0;
  std::vector<std::string> warnings_;
};

// How many bytes from the start of the file hold the header (8 + N), from the first 8 bytes.
uint64_t safetensors_header_bytes(std::span<const std::byte, 8> first, uint64_t file_size,
                                  std::string_view what);

// `start` holds at least the first 8 + N bytes of a file of file_size bytes; `what` names the file in errors.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> start, uint64_t file_size,
                                           std::string_view what, HolePolicy holes = HolePolicy::kRefuse);

// Reads only the header of a file on disk, without mapping it.
SafetensorsHeader read_safetensors_header(const std::filesystem::path& path,
                                          HolePolicy holes = HolePolicy::kRefuse);

// Bytes of a tensor. Empty when the product overflows or is no whole number of bytes; dtype is not kUnknown.
std::optional<uint64_t> tensor_bytes(DType dtype, const Shape& shape) noexcept;

// Why `name` cannot be a tensor's name ("is empty", ...); null when it can.
const char* tensor_name_fault(std::string_view name) noexcept;

}  // namespace mach
