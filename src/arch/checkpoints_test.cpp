// Every fixture and mini checkpoint is a model of its family, down to the last tensor.
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "arch/model_config.h"
#include "arch/registry.h"
#include "arch/tensor_plan.h"
#include "io/checkpoint_files.h"
#include "io/json.h"
#include "quant/codec.h"
#include "support/shared_dir.h"

namespace mach {
namespace {

struct Case {
  std::string folder;
  Family family;
  ExpertLayout layout;
  std::string quant;
  bool tied;
};

std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.folder; }

std::string case_name(const ::testing::TestParamInfo<Case>& param) {
  std::string name = param.param.folder;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
}

class Checkpoints : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const auto shared = testing::shared_dir();
    if (!shared) GTEST_SKIP() << testing::kNoSharedDir;
    folder_ = *shared / GetParam().folder;
    config_ = parse_model_config(read_json_file(folder_ / "config.json"), (folder_ / "config.json").string());
    catalog_ = read_tensor_catalog(folder_);
    plan_ = build_tensor_plan(config_, catalog_);
  }
  std::filesystem::path folder_;
  ModelConfig config_;
  TensorCatalog catalog_;
  TensorPlan plan_;
};

TEST_P(Checkpoints, EveryTensorIsPlannedOrSkippedForAReason) {
  EXPECT_THAT(plan_.unused, ::testing::IsEmpty());
  EXPECT_EQ(plan_.tensors.size() + plan_.skipped.size(), catalog_.tensors().size());
  for (const SkippedTensor& tensor : plan_.skipped) EXPECT_FALSE(tensor.reason.empty()) << tensor.name;
}

TEST_P(Checkpoints, SaysWhatItIs) {
  EXPECT_EQ(config_.family, GetParam().family);
  EXPECT_EQ(plan_.layout, GetParam().layout);
  EXPECT_EQ(plan_.quant, GetParam().quant);
  EXPECT_EQ(plan_.tied_head, GetParam().tied);
}

// A view's last byte: its plane's last row, to the end.
uint64_t end_of(const WeightRef& ref, const PlaneRef& plane, bool codes) {
  const uint64_t rows = codes ? ref.rows : scale_rows(ref.format, ref.rows);
  const uint64_t row = codes ? row_bytes(ref.format, ref.cols) : scale_row_bytes(ref.format, ref.cols);
  if (ref.transposed) {
    return plane.offset + (ref.rows - 1) * plane.row_stride + (ref.cols - 1) * ref.col_stride +
           ref.format.bits / 8;
  }
  return plane.offset + (rows - 1) * plane.row_stride + row;
}

TEST_P(Checkpoints, NoViewLeavesItsTensor) {
  const auto check = [&](const std::string& name, const WeightRef& ref) {
    EXPECT_LE(end_of(ref, ref.codes, true), plan_.tensors[ref.codes.tensor].size) << name;
    if (ref.scales) {
      EXPECT_LE(end_of(ref, *ref.scales, false), plan_.tensors[ref.scales->tensor].size) << name;
    }
    if (ref.biases) {
      EXPECT_LE(end_of(ref, *ref.biases, false), plan_.tensors[ref.biases->tensor].size) << name;
    }
  };
  for (const auto& [name, ref] : plan_.matrices) check(name, ref);
  for (const ExpertLayerPlan& layer : plan_.experts) {
    for (const ExpertRef& expert : layer.experts) {
      check("gate", expert.gate);
      check("up", expert.up);
      check("down", expert.down);
    }
  }
  for (const auto& [name, ref] : plan_.vectors) {
    EXPECT_LE(ref.offset + (ref.count - 1) * ref.stride + ref.bytes() / ref.count,
              plan_.tensors[ref.tensor].size)
        << name;
  }
}

// Views of experts cover their tensors exactly once: no byte is read twice or left out.
TEST_P(Checkpoints, ExpertsCoverTheirTensors) {
  uint64_t views = 0;
  std::vector<bool> used(plan_.tensors.size());
  for (const ExpertLayerPlan& layer : plan_.experts) {
    EXPECT_EQ(layer.experts.size(), config_.moe.experts);
    for (const ExpertRef& expert : layer.experts) {
      views += expert.bytes();
      for (const WeightRef* ref : {&expert.gate, &expert.up, &expert.down}) {
        used[ref->codes.tensor] = true;
        if (ref->scales) used[ref->scales->tensor] = true;
        if (ref->biases) used[ref->biases->tensor] = true;
      }
      for (const auto* bias : {&expert.gate_bias, &expert.up_bias, &expert.down_bias}) {
        if (*bias) used[(*bias)->tensor] = true;
      }
    }
  }
  uint64_t tensors = 0;
  for (size_t i = 0; i < used.size(); ++i) tensors += used[i] ? plan_.tensors[i].size : 0;
  EXPECT_EQ(views, tensors);
}

INSTANTIATE_TEST_SUITE_P(
    All, Checkpoints,
    ::testing::Values(
        Case{"fixtures/nano/qwen3_moe", Family::kQwen3Moe, ExpertLayout::kSliced, "bf16", false},
        Case{"fixtures/nano/qwen3_moe-mlx-4bit", Family::kQwen3Moe, ExpertLayout::kStacked,
             "affine 4-bit g64", false},
        Case{"fixtures/nano/gpt_oss", Family::kGptOss, ExpertLayout::kStacked, "bf16", false},
        Case{"fixtures/nano/gpt_oss-mxfp4", Family::kGptOss, ExpertLayout::kStacked, "mxfp4 (4-bit)", false},
        Case{"fixtures/nano/gemma4", Family::kGemma4, ExpertLayout::kStacked, "bf16", true},
        Case{"fixtures/nano/qwen3_5_moe", Family::kQwen3_5Moe, ExpertLayout::kSliced, "bf16", false},
        Case{"fixtures/nano/deepseek_v4", Family::kDeepSeekV4, ExpertLayout::kSliced, "bf16", false},
        Case{"models/mini-qwen3_moe", Family::kQwen3Moe, ExpertLayout::kSliced, "bf16", true},
        Case{"models/mini-qwen3_moe-mlx-4bit", Family::kQwen3Moe, ExpertLayout::kStacked, "affine 4-bit g64",
             true},
        Case{"models/mini-gpt_oss", Family::kGptOss, ExpertLayout::kStacked, "bf16", true},
        Case{"models/mini-gpt_oss-mxfp4", Family::kGptOss, ExpertLayout::kStacked, "mxfp4 (4-bit)", true},
        Case{"models/mini-gemma4", Family::kGemma4, ExpertLayout::kStacked, "bf16", true},
        Case{"models/mini-gemma4-mlx-4bit", Family::kGemma4, ExpertLayout::kStacked, "affine 4-bit g64",
             true},
        Case{"models/mini-qwen3_5_moe", Family::kQwen3_5Moe, ExpertLayout::kStacked, "bf16", true},
        Case{"models/mini-deepseek_v4", Family::kDeepSeekV4, ExpertLayout::kSliced, "bf16", false},
        Case{"models/mini-deepseek_v4-fp8-fp4", Family::kDeepSeekV4, ExpertLayout::kSliced, "mxfp4 (4-bit)",
             false}),
    case_name);

TEST(MtpCheckpoint, TheTrainedBlockIsPlannedOnRequest) {
  const auto shared = testing::shared_dir();
  if (!shared) GTEST_SKIP() << testing::kNoSharedDir;
  const std::filesystem::path folder = *shared / "models/mini-qwen3_5_moe";
  const ModelConfig config = parse_model_config(read_json_file(folder / "config.json"));
  const TensorPlan plan = build_tensor_plan(config, read_tensor_catalog(folder), {.mtp = true});
  EXPECT_EQ(plan.mtp_layers, 1U);
  EXPECT_THAT(plan.skipped, ::testing::IsEmpty());
  EXPECT_EQ(plan.matrix("mtp.fc").cols, 2 * config.hidden_size);
  EXPECT_EQ(plan.vector("mtp.norm").add, 1.0F);
  EXPECT_EQ(plan.matrix("mtp.layers.0.self_attn.q_proj").rows, 512U);
  EXPECT_EQ(plan.experts_of(config.layer_count())->experts.size(), config.moe.experts);
  // The nano checkpoint holds one tensor of a block: no block.
  const std::filesystem::path nano = *shared / "fixtures/nano/qwen3_5_moe";
  const ModelConfig small = parse_model_config(read_json_file(nano / "config.json"));
  EXPECT_EQ(build_tensor_plan(small, read_tensor_catalog(nano), {.mtp = true}).mtp_layers, 0U);
}

// The block drafter beside mini-qwen3_5_moe is no model of its own.
TEST(Drafter, IsRefusedByItsModelType) {
  const auto shared = testing::shared_dir();
  if (!shared) GTEST_SKIP() << testing::kNoSharedDir;
  const auto config = read_json_file(*shared / "models/mini-qwen3_5_moe-DFlash/config.json");
  try {
    parse_model_config(config);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("\"qwen3\""));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("nearest: qwen3_moe"));
  }
}

}  // namespace
}  // namespace mach
