#include "io/safetensors.h"

#include <string>
#include <utility>

#include "mach/error.h"

#include "base/quoted_name.h"

namespace mach {

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path, HolePolicy holes) {
  MappedFile file = MappedFile::open(path);
  SafetensorsHeader header =
      parse_safetensors_header(file.bytes(), file.bytes().size(), path.string(), holes);
  return {std::move(file), std::move(header)};
}

const TensorInfo& SafetensorsFile::at(std::string_view name) const {
  const TensorInfo* tensor = find(name);
  if (tensor == nullptr) {
    throw Error(ErrorCode::kCorruptFile, path().string() + ": there is no tensor " + quoted_name(name));
  }
  return *tensor;
}

std::span<const std::byte> SafetensorsFile::data(const TensorInfo& tensor) const {
  if (tensor.dtype == DType::kUnknown) {
    throw Error(ErrorCode::kUnsupported, path().string() + ": tensor " + quoted_name(tensor.name) +
                                             " has the dtype " + quoted_name(tensor.unknown_dtype) +
                                             ", which mach does not know");
  }
  return file_.bytes().subspan(tensor.offset, tensor.size);
}

}  // namespace mach
