// Catalogs made of names, types and shapes, without files. For tests only.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "arch/model_config.h"
#include "io/json.h"
#include "io/tensor_catalog.h"
#include "support/shared_dir.h"

namespace mach::testing {

struct FakeTensor {
  std::string dtype;
  std::vector<uint64_t> shape;
};
using FakeTensors = std::map<std::string, FakeTensor>;

// One shard "model.safetensors" whose tensors follow each other in name order.
inline TensorCatalog make_catalog(const FakeTensors& tensors) {
  nlohmann::json header = nlohmann::json::object();
  uint64_t end = 0;
  for (const auto& [name, tensor] : tensors) {
    Shape shape;
    for (const uint64_t dim : tensor.shape) shape.push_back(dim);
    const uint64_t begin = end;
    end += tensor_bytes(find_dtype(tensor.dtype), shape).value();
    header[name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
  }
  const std::string text = header.dump();
  std::vector<std::byte> bytes(8 + text.size());
  const uint64_t size = text.size();
  std::memcpy(bytes.data(), &size, 8);
  std::memcpy(bytes.data() + 8, text.data(), text.size());
  std::vector<ShardHeader> shards;
  shards.push_back({"model.safetensors", parse_safetensors_header(bytes, bytes.size() + end, "test")});
  return TensorCatalog::build(shards, nullptr, "test");
}

inline nlohmann::json published_config(const std::string& name) {
  return read_json_file(source_dir() / "tests/data/configs" / (name + ".json"));
}

// The action must throw Error with this code, and its text must hold every one of these words.
inline void expect_error(const std::function<void()>& action, ErrorCode code,
                         const std::vector<std::string>& words) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error_row(error.code()).name, error_row(code).name) << error.what();
    for (const std::string& word : words) EXPECT_THAT(error.what(), ::testing::HasSubstr(word));
    return;
  }
  ADD_FAILURE() << "nothing was refused; expected an error with \"" << ::testing::PrintToString(words)
                << "\"";
}

}  // namespace mach::testing
