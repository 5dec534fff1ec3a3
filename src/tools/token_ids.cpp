#include "tools/token_ids.h"

#include <cstdint>
#include <limits>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/half.h"
#include "io/json.h"
#include "io/safetensors.h"

namespace mach::tools {
namespace {

TokenId checked_id(int64_t value, size_t position, const std::string& what) {
  if (value >= 0 && value <= std::numeric_limits<TokenId>::max()) return static_cast<TokenId>(value);
  throw Error(ErrorCode::kInvalidRequest,
              fmt::format("{}: element {} is {}, no token id", what, position, value));
}

std::vector<TokenId> from_json(const std::filesystem::path& path) {
  const std::string what = path.string();
  const nlohmann::json root = read_json_file(path);
  if (!root.is_array()) throw Error(ErrorCode::kInvalidRequest, what + ": must be a JSON array of token ids");
  std::vector<TokenId> ids;
  ids.reserve(root.size());
  for (const nlohmann::json& element : root) {
    if (!element.is_number_integer()) {
      throw Error(ErrorCode::kInvalidRequest, fmt::format("{}: element {} is {}, no token id", what,
                                                          ids.size(), element.dump().substr(0, 40)));
    }
    ids.push_back(checked_id(element.get<int64_t>(), ids.size(), what));
  }
  return ids;
}

std::vector<TokenId> from_safetensors(const std::filesystem::path& path) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  const TensorInfo& tensor = file.at("input_ids");
  const bool wide = tensor.dtype == DType::kI64;
  if (tensor.shape.rank() != 1 || (!wide && tensor.dtype != DType::kI32)) {
    throw Error(ErrorCode::kInvalidRequest,
                fmt::format("{}: tensor input_ids must be I32 or I64 with one dimension, not {} {}",
                            path.string(), dtype_row(tensor.dtype).name, to_string(tensor.shape)));
  }
  const std::byte* data = file.data(tensor).data();
  std::vector<TokenId> ids(tensor.shape[0]);
  for (size_t i = 0; i < ids.size(); ++i) {
    const int64_t value =
        wide ? load_unaligned<int64_t>(data + 8 * i) : load_unaligned<int32_t>(data + 4 * i);
    ids[i] = checked_id(value, i, path.string());
  }
  return ids;
}

}  // namespace

std::vector<TokenId> read_token_ids(const std::filesystem::path& path) {
  return path.extension() == ".safetensors" ? from_safetensors(path) : from_json(path);
}

}  // namespace mach::tools
