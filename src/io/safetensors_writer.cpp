#include "io/safetensors_writer.h"

#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/checked_math.h"
#include "base/quoted_name.h"
#include "io/safetensors_header.h"

namespace mach {
namespace {

uint64_t bytes_of(const TensorSpec& tensor) {
  const std::optional<uint64_t> bytes =
      tensor.dtype == DType::kUnknown ? std::nullopt : tensor_bytes(tensor.dtype, tensor.shape);
  if (!bytes) {
    throw Error(ErrorCode::kInternal, "tensor " + quoted_name(tensor.name) + " cannot be written as " +
                                          std::string(dtype_row(tensor.dtype).name) + " " +
                                          to_string(tensor.shape));
  }
  return *bytes;
}

std::vector<TensorSpec> specs_of(std::span<const TensorData> tensors) {
  std::vector<TensorSpec> specs;
  specs.reserve(tensors.size());
  for (const TensorData& tensor : tensors) {
    if (tensor.bytes.size() != bytes_of(tensor.spec)) {
      throw Error(ErrorCode::kInternal, "tensor " + quoted_name(tensor.spec.name) + " comes with " +
                                            std::to_string(tensor.bytes.size()) + " bytes instead of " +
                                            std::to_string(bytes_of(tensor.spec)));
    }
    specs.push_back(tensor.spec);
  }
  return specs;
}

}  // namespace

std::string safetensors_header_text(std::span<const TensorSpec> tensors,
                                    const SafetensorsMetadata& metadata) {
  nlohmann::ordered_json::object_t members;  // appended to directly: its own insertion searches linearly
  if (!metadata.empty()) members.emplace_back("__metadata__", nlohmann::ordered_json(metadata));
  std::set<std::string_view> names;
  uint64_t offset = 0;
  for (const TensorSpec& tensor : tensors) {
    const char* fault = tensor_name_fault(tensor.name);
    if (fault == nullptr && !names.insert(tensor.name).second) fault = "is declared twice";
    if (fault != nullptr)
      throw Error(ErrorCode::kInternal, "the tensor name " + quoted_name(tensor.name) + " " + fault);
    const uint64_t end = offset + bytes_of(tensor);
    nlohmann::ordered_json member;
    member["dtype"] = dtype_row(tensor.dtype).name;
    member["shape"] = nlohmann::ordered_json::array();
    for (const uint64_t dim : tensor.shape.dims()) member["shape"].push_back(dim);
    member["data_offsets"] = {offset, end};
    members.emplace_back(tensor.name, std::move(member));
    offset = end;
  }
  std::string json = nlohmann::ordered_json(std::move(members)).dump();
  json.resize(round_up(json.size(), 8), ' ');
  if (json.size() > kMaxSafetensorsHeader) {
    throw Error(ErrorCode::kTooLarge, "a safetensors header of " + std::to_string(json.size()) +
                                          " bytes; the limit is " + std::to_string(kMaxSafetensorsHeader));
  }
  std::string text(8, '\0');
  for (size_t i = 0; i < 8; ++i) text[i] = static_cast<char>((json.size() >> (8 * i)) & 0xff);
  return text + json;
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorSpec> tensors,
                                     const SafetensorsMetadata& metadata)
    : tensors_(std::move(tensors)), file_(path) {
  file_.write(safetensors_header_text(tensors_, metadata));
  skip_full_tensors();
}

void SafetensorsWriter::skip_full_tensors() {
  while (next_ < tensors_.size() && written_ == bytes_of(tensors_[next_])) {
    ++next_;
    written_ = 0;
  }
}

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const TensorSpec* tensor = current();
  if (tensor == nullptr || bytes.size() > bytes_of(*tensor) - written_) {
    throw Error(ErrorCode::kInternal,
                file_.path().string() + ": " + std::to_string(bytes.size()) + " bytes too many for " +
                    (tensor ? "tensor " + quoted_name(tensor->name) : std::string("the file")));
  }
  file_.write(bytes);
  written_ += bytes.size();
  skip_full_tensors();
}

const TensorSpec* SafetensorsWriter::current() const noexcept {
  return next_ < tensors_.size() ? &tensors_[next_] : nullptr;
}

void SafetensorsWriter::finish() {
  if (const TensorSpec* tensor = current()) {
    throw Error(ErrorCode::kInternal, file_.path().string() + ": the bytes of tensor " +
                                          quoted_name(tensor->name) + " are not all written");
  }
  file_.commit();
}

std::vector<std::byte> serialize_safetensors(std::span<const TensorData> tensors,
                                             const SafetensorsMetadata& metadata) {
  const std::string header = safetensors_header_text(specs_of(tensors), metadata);
  const auto header_bytes = std::as_bytes(std::span(header));
  std::vector<std::byte> file(header_bytes.begin(), header_bytes.end());
  for (const TensorData& tensor : tensors) file.insert(file.end(), tensor.bytes.begin(), tensor.bytes.end());
  return file;
}

void write_safetensors(const std::filesystem::path& path, std::span<const TensorData> tensors,
                       const SafetensorsMetadata& metadata) {
  SafetensorsWriter writer(path, specs_of(tensors), metadata);
  for (const TensorData& tensor : tensors) writer.write(tensor.bytes);
  writer.finish();
}

}  // namespace mach
