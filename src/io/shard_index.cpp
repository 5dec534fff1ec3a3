#include "io/shard_index.h"

#include <algorithm>

#include <simdjson.h>

#include "mach/error.h"

#include "base/quoted_name.h"
#include "io/safetensors_header.h"

namespace mach {
namespace {

namespace dom = simdjson::dom;

// The format needs three levels; metadata may hold a little more.
constexpr size_t kMaxDepth = 16;

[[noreturn]] void refuse(std::string_view what, const std::string& problem) {
  throw Error(ErrorCode::kCorruptFile, std::string(what) + ": " + problem);
}

dom::object weight_map_of(const dom::element& root, std::string_view what) {
  dom::object top;
  if (root.get_object().get(top) != simdjson::SUCCESS)
    refuse(what, "must be a JSON object with a \"weight_map\"");
  dom::object map;
  bool seen = false;
  for (const dom::key_value_pair member : top) {
    if (member.key != "weight_map") continue;
    if (seen) refuse(what, "has two \"weight_map\" members");
    seen = true;
    if (member.value.get_object().get(map) != simdjson::SUCCESS) {
      refuse(what, "\"weight_map\" must be an object of tensor name to file name");
    }
  }
  if (!seen) refuse(what, "lacks \"weight_map\", an object of tensor name to file name");
  return map;
}

}  // namespace

const char* shard_name_fault(std::string_view name) noexcept {
  constexpr std::string_view kSuffix = ".safetensors";
  if (name.size() > 255) return "is longer than 255 bytes";
  if (!name.ends_with(kSuffix) || name.size() == kSuffix.size()) return "does not end in .safetensors";
  if (name.find('/') != std::string_view::npos || name.find('\\') != std::string_view::npos) {
    return "leads out of the checkpoint's folder";
  }
  if (name.find("..") != std::string_view::npos) return "contains \"..\"";
  if (name.find(':') != std::string_view::npos) return "contains ':'";
  if (std::any_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    return "contains a control character";
  }
  return nullptr;
}

ShardIndex parse_shard_index(std::string_view json, std::string_view what) {
  if (json.size() > kMaxShardIndexBytes)
    refuse(what, "is longer than " + std::to_string(kMaxShardIndexBytes) + " bytes");
  dom::parser parser(kMaxShardIndexBytes + simdjson::SIMDJSON_PADDING);
  dom::element root;
  simdjson::error_code error = parser.allocate(json.size() + simdjson::SIMDJSON_PADDING, kMaxDepth);
  if (error == simdjson::SUCCESS) error = parser.parse(json.data(), json.size()).get(root);
  if (error != simdjson::SUCCESS)
    refuse(what, std::string("is no valid JSON: ") + simdjson::error_message(error));

  ShardIndex index;
  std::map<std::string, uint32_t, std::less<>> shard_numbers;
  const auto map = weight_map_of(root, what);
  for (const dom::key_value_pair member : map) {
    const std::string tensor(member.key);
    if (const char* fault = tensor_name_fault(tensor))
      refuse(what, "the tensor name " + quoted_name(tensor) + " " + fault);
    if (index.tensors.size() == kMaxSafetensorsTensors) {
      refuse(what, "more than " + std::to_string(kMaxSafetensorsTensors) + " tensors");
    }
    std::string_view shard;
    if (member.value.get_string().get(shard) != simdjson::SUCCESS) {
      refuse(what, "the entry of tensor " + quoted_name(tensor) + " must be a file name");
    }
    auto known = shard_numbers.find(shard);
    if (known == shard_numbers.end()) {
      if (const char* fault = shard_name_fault(shard)) {
        refuse(what, "tensor " + quoted_name(tensor) + ": the file name " + quoted_name(shard) + " " + fault);
      }
      known = shard_numbers.emplace(std::string(shard), static_cast<uint32_t>(shard_numbers.size())).first;
    }
    if (!index.tensors.emplace(tensor, known->second).second) {
      refuse(what, "tensor " + quoted_name(tensor) + " comes twice in \"weight_map\"");
    }
  }
  if (index.tensors.empty()) refuse(what, "\"weight_map\" is empty");

  // Number the shards in name order.
  std::vector<uint32_t> position(shard_numbers.size());
  for (auto& [name, number] : shard_numbers) {
    position[number] = static_cast<uint32_t>(index.shards.size());
    index.shards.push_back(name);
  }
  for (auto& [tensor, number] : index.tensors) number = position[number];
  return index;
}

}  // namespace mach
