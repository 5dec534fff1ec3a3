#include "convert/keep_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mach/error.h"

#include "support/expect_error.h"

namespace mach {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ModelConfig three_layers() {  // the middle one has no experts
  ModelConfig config;
  config.moe.experts = 8;
  config.moe.top_k = 2;
  config.layers.resize(3);
  config.layers[1].ffn = FfnKind::kDense;
  for (LayerConfig& layer : config.layers) layer.experts = layer.has_moe() ? 8 : 0;
  return config;
}

KeptExperts kept(std::string_view text) {
  return resolve_keep_plan(parse_keep_plan(text, "a", "plan.jsonl"), three_layers());
}

TEST(KeepPlan, KeepsAllOrAListPerLayerWithExperts) {
  EXPECT_EQ(kept(R"({"id": "a", "keep": "all"})")[2].size(), 8U);
  const KeptExperts k = kept(
      "{\"id\": \"b\", \"keep\": 1}\n\n{\"id\": \"a\", \"keep\": [[5, 0, 3], \"all\"], \"note\": {}}\r\n");
  EXPECT_THAT(k[0], ElementsAre(0, 3, 5));
  EXPECT_TRUE(k[1].empty());
  EXPECT_EQ(k[2].size(), 8U);
}

TEST(KeepPlan, LabelTellsTheCountOrTheMean) {
  EXPECT_EQ(kept_label(kept(R"({"id": "a", "keep": "all"})")), "k8");
  EXPECT_EQ(kept_label(kept(R"({"id": "a", "keep": [[0, 1, 2], [4, 5, 7]]})")), "k3");
  EXPECT_EQ(kept_label(kept(R"({"id": "a", "keep": [[0, 1, 2], "all"]})")), "avgk5.5");
}

struct WrongPlan {
  const char* text;
  ErrorCode code;
  const char* complaint;
};

TEST(KeepPlan, RefusesWhatIsNoPlanNamingTheLine) {
  const WrongPlan kWrong[] = {
      {"", ErrorCode::kNotFound, "none at all"},
      {R"({"id": "b", "keep": "all"})", ErrorCode::kNotFound, "has no candidate \"a\", but b"},
      {"\n[1]", ErrorCode::kCorruptFile, "plan.jsonl: line 2: must be a JSON object"},
      {"{\"id\": 1}", ErrorCode::kCorruptFile, "id is missing, must be a string"},
      {"{\"id\": \"a\"}", ErrorCode::kCorruptFile, "keep is missing"},
      {"{\"id\": \"a\", \"keep\": \"some\"}", ErrorCode::kCorruptFile, "keep must be"},
      {"{\"id\": \"a\", \"keep\": [3]}", ErrorCode::kCorruptFile, "keep[0] must be"},
      {"{\"id\": \"a\", \"keep\": [[0, -1]]}", ErrorCode::kCorruptFile, "keep[0][1] must be an expert id"},
      {"{\"id\": \"a\", \"keep\": [[0, 1.5]]}", ErrorCode::kCorruptFile, "keep[0][1] must be an expert id"},
      {"{\"id\": \"a\", \"keep\": \"all\"}\n{\"id\": \"a\", \"keep\": \"all\"}", ErrorCode::kCorruptFile,
       "line 2: the id \"a\" stands on an earlier line"},
      {"{\"id\": \"a\", \"keep\": \"all\"", ErrorCode::kCorruptFile, "line 1"},
      {R"({"id": "a", "keep": [[0, 1]]})", ErrorCode::kInvalidRequest, "one for each of the 2 layers"},
      {R"({"id": "a", "keep": [[0, 1], [0, 8]]})", ErrorCode::kInvalidRequest, "(layer 2) has expert 8"},
      {R"({"id": "a", "keep": [[0, 0], "all"]})", ErrorCode::kInvalidRequest, "expert 0 twice"},
      {R"({"id": "a", "keep": [[0], "all"]})", ErrorCode::kInvalidRequest, "keeps 1 experts"},
  };
  for (const WrongPlan& wrong : kWrong) {
    SCOPED_TRACE(wrong.text);
    EXPECT_MACH_ERROR(kept(wrong.text), wrong.code, HasSubstr(wrong.complaint));
  }
}

}  // namespace
}  // namespace mach
