#include "io/shard_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace mach {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

#define EXPECT_REFUSED(json, ...)                                                 \
  EXPECT_MACH_ERROR(parse_shard_index(json, "idx.json"), ErrorCode::kCorruptFile, \
                    AllOf(HasSubstr("idx.json"), __VA_ARGS__))

TEST(ShardIndex, MapsTensorsToShardsInNameOrder) {
  const ShardIndex index = parse_shard_index(
      R"({"metadata":{"total_size":"nonsense"},"weight_map":{"b":"m-2.safetensors","a":"m-1.safetensors","c":"m-2.safetensors"},"more":[1]})",
      "idx.json");
  EXPECT_THAT(index.shards, ElementsAre("m-1.safetensors", "m-2.safetensors"));
  EXPECT_EQ(index.tensors.at("a"), 0U);
  EXPECT_EQ(index.tensors.at("b"), 1U);
  EXPECT_EQ(index.tensors.at("c"), 1U);
}

TEST(ShardIndex, RefusesWhatIsNoIndex) {
  EXPECT_REFUSED("", HasSubstr("no valid JSON"));
  EXPECT_REFUSED("{", HasSubstr("no valid JSON"));
  EXPECT_REFUSED("{\"weight_map\":{\"a\xff\":\"m.safetensors\"}}", HasSubstr("no valid JSON"));
  EXPECT_REFUSED("[]", HasSubstr("must be a JSON object"));
  EXPECT_REFUSED("{}", HasSubstr("lacks \"weight_map\""));
  EXPECT_REFUSED(R"({"weight_map":[]})", HasSubstr("must be an object"));
  EXPECT_REFUSED(R"({"weight_map":{}})", HasSubstr("is empty"));
  EXPECT_REFUSED(R"({"weight_map":{"a":1}})", HasSubstr("tensor \"a\" must be a file name"));
  EXPECT_REFUSED(R"({"weight_map":{"a":"x.safetensors","a":"x.safetensors"}})",
                 HasSubstr("tensor \"a\" comes twice"));
  EXPECT_REFUSED(R"({"weight_map":{"a":"x.safetensors"},"weight_map":{"b":"x.safetensors"}})",
                 HasSubstr("two \"weight_map\""));
  EXPECT_REFUSED(R"({"weight_map":{"":"x.safetensors"}})", HasSubstr("is empty"));
  EXPECT_REFUSED(R"({"weight_map":{"a\u0000":"x.safetensors"}})", HasSubstr("control character"));
  EXPECT_REFUSED(std::string(100'000, '['), HasSubstr("no valid JSON"));
  EXPECT_REFUSED("{\"metadata\":" + std::string(100'000, '['), HasSubstr("no valid JSON"));
}

TEST(ShardIndex, RefusesNamesThatAreNoPlainSafetensorsFile) {
  const char* const bad[] = {"../x.safetensors",
                             "/etc/x.safetensors",
                             "a/x.safetensors",
                             "a\\\\x.safetensors",
                             "C:x.safetensors",
                             "..safetensors",
                             "x.bin",
                             ".safetensors",
                             "",
                             "x.safetensors\\u0000",
                             "x\\n.safetensors",
                             "x.safetensors/"};
  for (const char* name : bad) {
    EXPECT_REFUSED("{\"weight_map\":{\"a\":\"" + std::string(name) + "\"}}",
                   AllOf(HasSubstr("tensor \"a\""), HasSubstr("file name")));
  }
  EXPECT_EQ(shard_name_fault("model-00001-of-00046.safetensors"), nullptr);
  EXPECT_NE(shard_name_fault(std::string(300, 'x') + ".safetensors"), nullptr);
}

}  // namespace
}  // namespace mach
