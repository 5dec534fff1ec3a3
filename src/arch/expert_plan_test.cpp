// Every layout of routed experts.
#include <gtest/gtest.h>

#include "arch/checkpoint_for_test.h"
#include "arch/tensor_plan.h"

namespace mach {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

constexpr ErrorCode kCorrupt = ErrorCode::kCorruptFile;

TEST(ExpertLayouts, FusedRowsAreGateThenUp) {
  const ModelConfig config = parse(qwen_json());
  FakeTensors tensors = dense_tensors(config);
  add_fused(tensors, config, ".mlp");
  const TensorPlan plan = plan_of(qwen_json(), tensors);
  EXPECT_EQ(plan.layout, ExpertLayout::kStacked);
  const ExpertRef& expert = plan.experts_of(1)->experts[3];
  const uint64_t row = 256 * 2;
  EXPECT_EQ(expert.gate.rows, 128U);
  EXPECT_EQ(expert.gate.codes.offset, 3 * 256 * row);
  EXPECT_EQ(expert.up.codes.offset, 3 * 256 * row + 128 * row);
  EXPECT_EQ(expert.up.codes.row_stride, row);
  EXPECT_EQ(expert.down.codes.offset, uint64_t{3} * 256 * 128 * 2);
  EXPECT_EQ(expert.down.cols, 128U);
}

TEST(ExpertLayouts, GptOssFloatsAreTurnedAndInterleaved) {
  const ModelConfig config = parse(gpt_oss_json());
  FakeTensors tensors = dense_tensors(config);
  for (const char* layer : {"0", "1"}) {
    const std::string base = std::string("model.layers.") + layer + ".mlp.experts.";
    tensors[base + "gate_up_proj"] = {"BF16", {4, 256, 192}};
    tensors[base + "gate_up_proj_bias"] = {"BF16", {4, 192}};
    tensors[base + "down_proj"] = {"BF16", {4, 96, 256}};
    tensors[base + "down_proj_bias"] = {"BF16", {4, 256}};
  }
  const TensorPlan plan = plan_of(gpt_oss_json(), tensors);
  const ExpertRef& expert = plan.experts_of(0)->experts[2];
  // Element (r, c) of gate is column 2 r of input c; of up, column 2 r + 1.
  EXPECT_TRUE(expert.gate.transposed);
  EXPECT_EQ(expert.gate.rows, 96U);
  EXPECT_EQ(expert.gate.cols, 256U);
  EXPECT_EQ(expert.gate.codes.offset, uint64_t{2} * 256 * 192 * 2);
  EXPECT_EQ(expert.gate.codes.row_stride, 4U);
  EXPECT_EQ(expert.gate.col_stride, 192U * 2);
  EXPECT_EQ(expert.up.codes.offset, expert.gate.codes.offset + 2);
  EXPECT_EQ(expert.down.rows, 256U);
  EXPECT_EQ(expert.down.cols, 96U);
  EXPECT_EQ(expert.down.codes.row_stride, 2U);
  EXPECT_EQ(expert.down.col_stride, 256U * 2);
  EXPECT_EQ(expert.gate_bias->offset, uint64_t{2} * 192 * 2);
  EXPECT_EQ(expert.gate_bias->stride, 4U);
  EXPECT_EQ(expert.up_bias->offset, expert.gate_bias->offset + 2);
  EXPECT_EQ(expert.up_bias->count, 96U);
  EXPECT_EQ(expert.down_bias->offset, uint64_t{2} * 256 * 2);

  tensors["model.layers.1.mlp.experts.gate_up_proj"].shape = {4, 192, 256};  // out x in
  expect_refused(gpt_oss_json(), tensors, kCorrupt,
                 {"gate_up_proj has shape [4, 192, 256]", "must be [4, 256, 192]"});
}

FakeTensors gpt_oss_blocks() {
  FakeTensors tensors = dense_tensors(parse(gpt_oss_json()));
  for (const char* layer : {"0", "1"}) {
    const std::string base = std::string("model.layers.") + layer + ".mlp.experts.";
    tensors[base + "gate_up_proj_blocks"] = {"U8", {4, 192, 8, 16}};
    tensors[base + "gate_up_proj_scales"] = {"U8", {4, 192, 8}};
    tensors[base + "gate_up_proj_bias"] = {"BF16", {4, 192}};
    tensors[base + "down_proj_blocks"] = {"U8", {4, 256, 3, 16}};
    tensors[base + "down_proj_scales"] = {"U8", {4, 256, 3}};
    tensors[base + "down_proj_bias"] = {"BF16", {4, 256}};
  }
  return tensors;
}

TEST(ExpertLayouts, GptOssBlocksTakeEveryOtherRow) {
  FakeTensors tensors = gpt_oss_blocks();
  const TensorPlan plan = plan_of(gpt_oss_json(), tensors);
  EXPECT_EQ(plan.quant, "mxfp4 (4-bit)");
  const ExpertRef& expert = plan.experts_of(1)->experts[1];
  EXPECT_EQ(expert.gate.format,
            (WeightFormat{.codec = CodecId::kMxFp4, .scale = ScaleType::kE8M0, .bits = 4, .group = 32}));
  EXPECT_EQ(expert.gate.codes.offset, 192U * 128);
  EXPECT_EQ(expert.gate.codes.row_stride, 256U);
  EXPECT_EQ(expert.gate.scales->row_stride, 16U);
  EXPECT_EQ(expert.up.codes.offset, 192U * 128 + 128);
  EXPECT_EQ(expert.up.scales->offset, 192U * 8 + 8);
  EXPECT_EQ(expert.down.scales->offset, 256U * 3);

  tensors["model.layers.1.mlp.experts.down_proj_scales"].shape = {4, 256, 4};
  expect_refused(gpt_oss_json(), tensors, kCorrupt,
                 {"layers.1.mlp.experts.down_proj_scales has shape", "[4, 256, 3]"});
}

TEST(ExpertLayouts, GptOssMlxStacks) {
  FakeTensors tensors = dense_tensors(parse(gpt_oss_json()));
  for (const char* layer : {"0", "1"}) {
    for (const char* name : {"gate_proj", "up_proj", "down_proj"}) {
      const std::string module = std::string("model.layers.") + layer + ".mlp.experts." + name;
      const bool down = name[0] == 'd';
      const uint64_t rows = down ? 256 : 96;
      const uint64_t cols = down ? 96 : 256;
      tensors[module + ".weight"] = {"U32", {4, rows, cols / 8}};
      tensors[module + ".scales"] = {"U8", {4, rows, cols / 32}};
      tensors[module + ".bias"] = {"BF16", {4, rows}};
    }
  }
  json config = gpt_oss_json();
  config["quantization_config"] = {{"quant_method", "mxfp4"}};
  const TensorPlan plan = plan_of(config, tensors);
  const ExpertRef& expert = plan.experts_of(0)->experts[3];
  EXPECT_EQ(expert.up.format.codec, CodecId::kMxFp4);
  EXPECT_EQ(expert.up.codes.offset, uint64_t{3} * 96 * 128);
  EXPECT_EQ(expert.up_bias->offset, uint64_t{3} * 96 * 2);
  EXPECT_EQ(expert.down_bias->count, 256U);
  EXPECT_THAT(plan.unused, ::testing::IsEmpty());
}

TEST(ExpertLayouts, GemmaPerExpertNames) {
  const ModelConfig config = parse(gemma_json());
  FakeTensors tensors = dense_tensors(config);
  for (uint32_t layer = 0; layer < 4; ++layer) add_sliced(tensors, config, "", layer);
  const TensorPlan plan = plan_of(gemma_json(), tensors);
  EXPECT_EQ(plan.layout, ExpertLayout::kSliced);
  EXPECT_THAT(plan.unused, ::testing::IsEmpty());
}

TEST(ExpertLayouts, OneLayerWithoutExpertsIsRefused) {
  const ModelConfig config = parse(qwen_json());
  FakeTensors tensors = dense_tensors(config);
  add_sliced(tensors, config, ".mlp", 0);
  expect_refused(qwen_json(), tensors, kCorrupt, {"no routed experts under model.layers.1.mlp"});
  // Also where a sidecar may hold them: all of them, or none.
  expect_error([&] { plan_of(qwen_json(), tensors, {.experts_in_sidecar = true}); }, kCorrupt,
               {"model.layers.1.mlp"});
  FakeTensors second = dense_tensors(config);
  add_sliced(second, config, ".mlp", 1);
  expect_error([&] { plan_of(qwen_json(), second, {.experts_in_sidecar = true}); }, kCorrupt,
               {"model.layers.0.mlp"});
}

TEST(ExpertLayouts, SidecarHoldsThem) {
  const FakeTensors tensors = dense_tensors(parse(qwen_json()));
  const TensorPlan plan = plan_of(qwen_json(), tensors, {.experts_in_sidecar = true});
  EXPECT_EQ(plan.layout, ExpertLayout::kSidecar);
  EXPECT_TRUE(plan.experts.empty());
  json config = qwen_json();
  config["quantization"] = {{"bits", 4}, {"group_size", 64}, {"expert_format", "gguf"}};
  EXPECT_EQ(plan_of(config, tensors).layout, ExpertLayout::kSidecar);
}

TEST(ExpertLayouts, MixedFormatsInALayerAreRefused) {
  FakeTensors tensors = qwen_tensors();
  tensors["model.layers.1.mlp.experts.2.up_proj.weight"].dtype = "F16";
  expect_refused(qwen_json(), tensors, ErrorCode::kUnsupported,
                 {"model.layers.1.mlp.experts.2", "another format"});
}

}  // namespace
}  // namespace mach
