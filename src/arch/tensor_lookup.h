// Finds stored tensors by module path and checks type and shape against what a config calls for. Whatever is handed out
// is noted as used, so that the rest can be reported. Every complaint names the tensor, what it is and what it should be.
// Lives for one build_tensor_plan() call; not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "arch/quant_config.h"
#include "arch/tensor_plan.h"
#include "io/tensor_catalog.h"

namespace mach {

// A matrix, or `count` of them stacked along axis 0.
struct StoredMatrix {
  WeightRef first;
  uint64_t codes_step = 0;  // bytes from one matrix of the stack to the next
  uint64_t scales_step = 0;
  uint64_t biases_step = 0;
  WeightRef at(uint32_t index) const;
};

class TensorLookup {
 public:
  // Both outlive the lookup; `tensors` receives the locations of used tensors.
  TensorLookup(const TensorCatalog& catalog, const QuantConfig& quant, std::vector<TensorLocation>& tensors)
      : catalog_(catalog), quant_(quant), tensors_(tensors) {}

  const TensorCatalog& catalog() const noexcept { return catalog_; }

  // Is a tensor stored for this module (as path.weight, a packed form of it, or under the path itself)?
  bool has_module(std::string_view path) const;

  // [rows, cols], or [stack, rows, cols] when stack > 0, in whichever form the file holds it. Throws
  // Error{kCorruptFile, kUnsupported}; the module must be there (has_module).
  StoredMatrix matrix(const std::string& path, uint32_t stack, uint32_t rows, uint32_t cols);

  // gpt-oss "<path>_blocks" [stack, rows, cols / 32, 16] and "<path>_scales".
  StoredMatrix mxfp4_blocks(const std::string& path, uint32_t stack, uint32_t rows, uint32_t cols);

  // Floats stored input-major: [stack, cols, rows].
  StoredMatrix transposed(const std::string& path, uint32_t stack, uint32_t rows, uint32_t cols);

  // Floats of this shape, axes of length 1 aside. `name` is the tensor's full name.
  VectorRef vector(const std::string& name, std::span<const uint64_t> shape);
  IntRef integers(const std::string& name, uint32_t rows, uint32_t cols);

  bool used(const CatalogEntry& entry) const { return indices_.contains(&entry); }

  [[noreturn]] void fail(std::string_view tensor, std::string_view complaint) const;
  [[noreturn]] void unsupported(std::string_view tensor, std::string_view complaint) const;

 private:
  struct Found {
    std::string name;
    const CatalogEntry* entry = nullptr;
    explicit operator bool() const noexcept { return entry != nullptr; }
  };
  struct Wanted {
    std::string path;
    uint32_t stack, rows, cols;
  };

  Found find(std::string name) const;
  Found find_first(const std::string& path, std::initializer_list<std::string_view> suffixes) const;
  const CatalogEntry& require(const std::string& name) const;
  uint32_t use(const std::string& name, const CatalogEntry& entry);
  void require_shape(const Found& tensor, const Shape& wanted) const;
  Shape shape(const Wanted& wanted, uint64_t rows, uint64_t cols) const;
  StoredMatrix packed(const Wanted& wanted, const WeightFormat& format, const Found& codes);
  void add_scales(const Wanted& wanted, const Found& scales, StoredMatrix& matrix);

  StoredMatrix dense(const Wanted& wanted, const Found& weight);
  StoredMatrix mlx(const Wanted& wanted, const Found& weight);
  StoredMatrix fp8(const Wanted& wanted, const Found& weight);
  StoredMatrix fp4(const Wanted& wanted, const Found& weight);
  MlxQuant mlx_parameters(const Wanted& wanted, const Found& weight, const Found& scales, bool biases) const;

  const TensorCatalog& catalog_;
  const QuantConfig& quant_;
  std::vector<TensorLocation>& tensors_;
  std::unordered_map<const CatalogEntry*, uint32_t> indices_;  // used tensors -> index into tensors_
};

}  // namespace mach
