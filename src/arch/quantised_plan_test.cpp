// Quantised weights: what the tensors say, what config.json says, and what happens when they disagree.
#include <gtest/gtest.h>

#include "arch/checkpoint_for_test.h"
#include "arch/tensor_plan.h"

namespace mach {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

constexpr ErrorCode kCorrupt = ErrorCode::kCorruptFile;

void quantise(FakeTensors& tensors, const std::string& module, uint64_t bits, uint64_t group) {
  FakeTensor& weight = tensors.at(module + ".weight");
  std::vector<uint64_t> shape = weight.shape;
  const uint64_t cols = shape.back();
  shape.back() = cols * bits / 32;
  weight = {"U32", shape};
  shape.back() = cols / group;
  tensors[module + ".scales"] = tensors[module + ".biases"] = {"BF16", shape};
}

json mlx_json(const json& block) {
  json config = qwen_json();
  config["quantization"] = block;
  return config;
}

TEST(MlxPlan, MixedWidths) {
  FakeTensors tensors = qwen_tensors();
  quantise(tensors, "model.embed_tokens", 4, 64);
  quantise(tensors, "lm_head", 6, 32);
  quantise(tensors, "model.layers.0.mlp.gate", 8, 64);
  quantise(tensors, "model.layers.1.self_attn.v_proj", 3, 128);
  const json block = {{"bits", 4},
                      {"group_size", 64},
                      {"lm_head", {{"bits", 6}, {"group_size", 32}}},
                      {"model.layers.0.mlp.gate", {{"bits", 8}, {"group_size", 64}}},
                      {"model.layers.1.self_attn.v_proj", {{"bits", 3}, {"group_size", 128}}},
                      {"model.layers.1.self_attn.q_proj", false}};
  const TensorPlan plan = plan_of(mlx_json(block), tensors);
  EXPECT_EQ(plan.matrix("embed_tokens").format, (WeightFormat{CodecId::kAffine, ScaleType::kBF16, 4, 64, 1}));
  EXPECT_EQ(plan.matrix("lm_head").format, (WeightFormat{CodecId::kAffine, ScaleType::kBF16, 6, 32, 1}));
  EXPECT_EQ(plan.matrix("layers.0.mlp.gate").format.bits, 8);
  EXPECT_EQ(plan.matrix("layers.1.self_attn.v_proj").format.bits, 3);
  EXPECT_EQ(plan.matrix("layers.1.self_attn.v_proj").codes.row_stride, 256U * 3 / 8);
  EXPECT_EQ(plan.matrix("layers.1.self_attn.v_proj").biases->row_stride, 2U * 2);
  EXPECT_EQ(plan.matrix("layers.1.self_attn.q_proj").format.codec, CodecId::kBF16);
  // The shapes alone tell the same where config.json says nothing.
  EXPECT_EQ(plan_of(qwen_json(), tensors).matrix("lm_head").format, plan.matrix("lm_head").format);
}

TEST(MlxPlan, ContradictionsAreRefused) {
  const std::string module = "model.layers.0.mlp.gate";
  const json block = {{"bits", 4}, {"group_size", 64}};
  FakeTensors tensors = qwen_tensors();
  quantise(tensors, module, 8, 64);
  expect_refused(mlx_json(block), tensors, kCorrupt,
                 {module, "8 bits in groups of 64", "config.json", "4 bits"});
  json wrong_group = block;
  wrong_group[module] = {{"bits", 8}, {"group_size", 32}};
  expect_refused(mlx_json(wrong_group), tensors, kCorrupt, {module, "groups of 32"});
  json not_quantised = block;
  not_quantised[module] = false;
  expect_refused(mlx_json(not_quantised), tensors, kCorrupt, {module, "says it is not"});

  json promised = block;
  promised[module] = {{"bits", 8}, {"group_size", 64}};
  expect_refused(mlx_json(promised), qwen_tensors(), kCorrupt, {module, "not quantised"});

  FakeTensors odd = tensors;
  odd[module + ".scales"].shape = {4, 3};
  expect_refused(mlx_json(promised), odd, kCorrupt, {module + ".weight", "3 scales", "256 inputs"});
  odd = tensors;
  odd[module + ".weight"].shape = {4, 63};
  expect_refused(mlx_json(promised), odd, kCorrupt, {module + ".weight", "63 words"});
  odd = tensors;
  odd[module + ".weight"].shape = {3, 64};
  expect_refused(mlx_json(promised), odd, kCorrupt, {module + ".weight has shape [3, 64]", "[4, 64]"});
  odd = tensors;
  odd[module + ".biases"].shape = {4, 2};
  expect_refused(mlx_json(promised), odd, kCorrupt, {module + ".biases has shape [4, 2]", "[4, 4]"});
  odd = tensors;
  odd[module + ".biases"].dtype = "F32";
  expect_refused(mlx_json(promised), odd, kCorrupt, {module + ".biases is F32", "BF16 like its scales"});
  odd = tensors;
  odd[module + ".scales"].dtype = "I16";
  expect_refused(mlx_json(promised), odd, kCorrupt, {module + ".scales is I16"});
  odd = tensors;
  odd.erase(module + ".biases");
  expect_refused(mlx_json(promised), odd, kCorrupt, {module});
  odd = tensors;
  odd.erase(module + ".scales");
  expect_refused(mlx_json(promised), odd, kCorrupt, {module + ".scales is missing"});
  odd = qwen_tensors();
  odd[module + ".scales"] = {"BF16", {4, 4}};
  expect_refused(mlx_json(block), odd, kCorrupt, {module + ".weight is BF16", "U32"});
}

TEST(MlxPlan, FloatModes) {
  const std::string module = "model.layers.0.mlp.gate";
  struct Mode {
    const char* name;
    uint64_t bits, group;
    CodecId codec;
    ScaleType scale;
  };
  for (const Mode& mode : {Mode{"mxfp4", 4, 32, CodecId::kMxFp4, ScaleType::kE8M0},
                           Mode{"mxfp8", 8, 32, CodecId::kMxFp8, ScaleType::kE8M0},
                           Mode{"nvfp4", 4, 16, CodecId::kNvFp4, ScaleType::kE4M3}}) {
    FakeTensors tensors = qwen_tensors();
    quantise(tensors, module, mode.bits, mode.group);
    tensors.erase(module + ".biases");
    tensors[module + ".scales"].dtype = "U8";
    for (const json& config : {mlx_json({{"mode", mode.name}}), qwen_json()}) {
      const WeightFormat format = plan_of(config, tensors).matrix("layers.0.mlp.gate").format;
      EXPECT_EQ(format.codec, mode.codec);
      EXPECT_EQ(format.scale, mode.scale);
      EXPECT_EQ(format.group, mode.group);
    }
    expect_refused(mlx_json({{"bits", mode.bits}, {"group_size", 32}}), tensors, kCorrupt,
                   {module, "affine"});
  }
}

// o_proj of layer 0 is [256, 256].
constexpr const char* kOutProjection = "model.layers.0.self_attn.o_proj";

FakeTensors with_fp8(const std::string& scale_name, const FakeTensor& scale) {
  FakeTensors tensors = qwen_tensors();
  tensors[std::string(kOutProjection) + ".weight"].dtype = "F8_E4M3";
  tensors[kOutProjection + scale_name] = scale;
  return tensors;
}

json fp8_json(const json& block_size) {
  json config = qwen_json();
  config["quantization_config"] = {{"quant_method", "fp8"}, {"weight_block_size", block_size}};
  return config;
}

TEST(Fp8Plan, ConfiguredBlocks) {
  const TensorPlan plan = plan_of(fp8_json({128, 128}), with_fp8(".weight_scale_inv", {"F32", {2, 2}}));
  const WeightRef& ref = plan.matrix("layers.0.self_attn.o_proj");
  EXPECT_EQ(ref.format, (WeightFormat{CodecId::kFp8Block, ScaleType::kF32, 8, 128, 128}));
  EXPECT_EQ(ref.codes.row_stride, 256U);
  EXPECT_EQ(ref.scales->row_stride, 8U);
}

TEST(Fp8Plan, CutOffBlocksBeforeExactDivision) {
  // 256 rows in blocks of 192 are 192 and 64; an even split into 128 and 128 would fit the grid too.
  const WeightFormat cut = plan_of(fp8_json({192, 256}), with_fp8(".weight_scale_inv", {"F32", {2, 1}}))
                               .matrix("layers.0.self_attn.o_proj")
                               .format;
  EXPECT_EQ(cut.block_rows, 192);
  EXPECT_EQ(cut.group, 256);
  // A grid that the configured block does not explain is an exact division.
  const WeightFormat exact = plan_of(fp8_json({128, 128}), with_fp8(".weight_scale_inv", {"F32", {256, 8}}))
                                 .matrix("layers.0.self_attn.o_proj")
                                 .format;
  EXPECT_EQ(exact.block_rows, 1);
  EXPECT_EQ(exact.group, 32);
}

TEST(Fp8Plan, OneScalePerTensorOrRow) {
  for (const FakeTensor& scale :
       {FakeTensor{"F32", {}}, FakeTensor{"F32", {1}}, FakeTensor{"BF16", {1, 1}}}) {
    const TensorPlan plan = plan_of(fp8_json(nullptr), with_fp8(".weight_scale", scale));
    const WeightRef& ref = plan.matrix("layers.0.self_attn.o_proj");
    EXPECT_EQ(ref.format.block_rows, 0);
    EXPECT_EQ(ref.format.group, 0);
    EXPECT_EQ(ref.scales->row_stride, 0U);
  }
  const TensorPlan plan = plan_of(fp8_json(nullptr), with_fp8(".weight_scale", {"F32", {256, 1}}));
  const WeightRef& ref = plan.matrix("layers.0.self_attn.o_proj");
  EXPECT_EQ(ref.format.block_rows, 1);
  EXPECT_EQ(ref.format.group, 0);
  EXPECT_EQ(ref.scales->row_stride, 4U);
}

TEST(Fp8Plan, WrongGridsAreRefused) {
  for (const FakeTensor& scale : {FakeTensor{"F32", {3, 2}}, FakeTensor{"F32", {0, 2}},
                                  FakeTensor{"F32", {2}}, FakeTensor{"F32", {2, 2, 2}}}) {
    expect_refused(fp8_json({128, 128}), with_fp8(".weight_scale_inv", scale), kCorrupt,
                   {"o_proj.weight_scale_inv has shape", "256 x 256"});
  }
  expect_refused(fp8_json({128, 128}), with_fp8(".weight_scale_inv", {"I32", {2, 2}}), kCorrupt, {"is I32"});
  expect_refused(fp8_json({128, 128}), with_fp8(".other", {"F32", {2, 2}}), kCorrupt,
                 {"o_proj.weight is F8_E4M3, but", "o_proj.weight_scale_inv is missing"});
}

TEST(Fp8Plan, FusedExpertsShareAGrid) {
  json config = fp8_json({64, 128});
  const ModelConfig parsed = parse(config);
  FakeTensors tensors = dense_tensors(parsed);
  add_fused(tensors, parsed, ".mlp");
  for (const char* layer : {"0", "1"}) {
    const std::string base = std::string("model.layers.") + layer + ".mlp.experts.";
    tensors[base + "gate_up_proj"].dtype = tensors[base + "down_proj"].dtype = "F8_E4M3";
    tensors[base + "gate_up_proj_scale_inv"] = {"F32", {4, 4, 2}};
    tensors[base + "down_proj_scale_inv"] = {"F32", {4, 4, 1}};
  }
  const TensorPlan plan = plan_of(config, tensors);
  EXPECT_THAT(plan.unused, ::testing::IsEmpty());
  const ExpertRef& expert = plan.experts_of(0)->experts[1];
  EXPECT_EQ(expert.gate.scales->offset, 4U * 2 * 4);
  EXPECT_EQ(expert.up.scales->offset, (4U * 2 + 2 * 2) * 4);
  EXPECT_EQ(expert.up.codes.offset, (256U + 128) * 256);

  config = fp8_json({256, 128});  // one block row for gate and up together
  for (const char* layer : {"0", "1"}) {
    tensors[std::string("model.layers.") + layer + ".mlp.experts.gate_up_proj_scale_inv"] = {"F32",
                                                                                             {4, 1, 2}};
    tensors[std::string("model.layers.") + layer + ".mlp.experts.down_proj_scale_inv"] = {"F32", {4, 1, 1}};
  }
  expect_refused(config, tensors, ErrorCode::kUnsupported, {"gate_up_proj", "one block of 256 rows"});
}

TEST(Fp4Plan, NvFp4OfBothConverters) {
  for (const bool model_opt : {true, false}) {
    const std::string module = "model.layers.0.mlp.experts.0.gate_proj";
    FakeTensors tensors = qwen_tensors();
    for (auto& [name, tensor] : qwen_tensors()) {
      if (name.find(".experts.") == std::string::npos) continue;
      const std::string path = name.substr(0, name.rfind(".weight"));
      const uint64_t rows = tensor.shape[0];
      const uint64_t cols = tensor.shape[1];
      tensors.erase(name);
      tensors[path + (model_opt ? ".weight" : ".weight_packed")] = {"U8", {rows, cols / 2}};
      tensors[path + ".weight_scale"] = {"F8_E4M3", {rows, cols / 16}};
      tensors[path + (model_opt ? ".weight_scale_2" : ".weight_global_scale")] = {"F32", {1}};
      tensors[path + ".input_scale"] = {"F32", {1}};
    }
    json config = qwen_json();
    config["quantization_config"] = {{"quant_method", model_opt ? "modelopt" : "compressed-tensors"}};
    const TensorPlan plan = plan_of(config, tensors);
    EXPECT_EQ(plan.quant, "nvfp4 (4-bit)");
    EXPECT_THAT(plan.unused, ::testing::IsEmpty());
    const WeightRef& gate = plan.experts_of(0)->experts[0].gate;
    EXPECT_EQ(gate.global_scale->divide, !model_opt);
    EXPECT_EQ(gate.scales->row_stride, 16U);
    tensors.erase(module + (model_opt ? ".weight_scale_2" : ".weight_global_scale"));
    expect_refused(config, tensors, kCorrupt, {module, "nvfp4", "is missing"});
  }
}

}  // namespace
}  // namespace mach
