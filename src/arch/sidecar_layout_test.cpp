#include "arch/sidecar_layout.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "arch/checkpoint_for_test.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr WeightFormat kAffine4{.codec = CodecId::kAffine, .scale = ScaleType::kBF16, .bits = 4, .group = 64};
constexpr WeightFormat kMx{.codec = CodecId::kMxFp4, .scale = ScaleType::kE8M0, .bits = 4, .group = 32};

ExpertSpec qwen_spec(const WeightFormat& format) {
  return {MatrixSpec{format, 128, 256}, MatrixSpec{format, 128, 256}, MatrixSpec{format, 256, 128}};
}

SidecarLayout some_layout() {
  SidecarLayout layout;
  layout.model_type = "qwen3_moe";
  for (uint32_t layer = 0; layer < 2; ++layer) {
    SidecarLayer entry{
        .layer = layer, .experts = 4, .record = make_expert_record(qwen_spec(kAffine4)), .checksums = {}};
    for (uint64_t expert = 0; expert < 4; ++expert)
      entry.checksums.push_back(0xfedc'ba98'7654'3210 + layer + expert);
    layout.layers.push_back(std::move(entry));
  }
  return layout;
}

std::string changed(const std::function<void(json&)>& change) {
  json root = json::parse(sidecar_layout_text(some_layout()));
  change(root);
  return root.dump();
}

TEST(ExpertRecord, PlanesFollowEachOtherAligned) {
  ExpertSpec spec = qwen_spec(kAffine4);
  for (MatrixSpec& matrix : spec) matrix.bias = true;
  spec[2].global_scale = true;
  const ExpertRecord record = make_expert_record(spec);
  EXPECT_EQ(record.matrices[0].plane(PlaneKind::kCodes), (PlaneRange{0, 128 * 128}));
  EXPECT_EQ(record.matrices[0].plane(PlaneKind::kScales), (PlaneRange{16384, 128 * 4 * 2}));
  EXPECT_EQ(record.matrices[0].plane(PlaneKind::kBias).size, 128 * 4U);
  EXPECT_EQ(record.matrices[2].plane(PlaneKind::kGlobalScale).size, 4U);
  EXPECT_EQ(record.matrices[2].plane(PlaneKind::kBias).offset % kPlaneAlignment, 0U);
  EXPECT_EQ(record.size % kRecordAlignment, 0U);
  EXPECT_GE(record.size, 3U * (128 * 128 + 2 * 1024));
}

TEST(SidecarLayout, SurvivesWritingAndReading) {
  SidecarLayout layout = some_layout();
  ExpertSpec spec = qwen_spec(kMx);
  spec[1] = {.format = {.codec = CodecId::kFp8Block,
                        .scale = ScaleType::kF32,
                        .bits = 8,
                        .group = 128,
                        .block_rows = 128},
             .rows = 128,
             .cols = 256,
             .bias = true};
  spec[2] = {.format = {.codec = CodecId::kNvFp4, .scale = ScaleType::kE4M3, .bits = 4, .group = 16},
             .rows = 256,
             .cols = 128,
             .global_scale = true};
  layout.layers[1].record = make_expert_record(spec);
  layout.layers[0].record = reordered(layout.layers[0].record, RecordOrder::kFast);
  ASSERT_EQ(layout.layers[0].record.matrices[0].spec.order, WeightOrder::kPanels);
  EXPECT_EQ(layout.layers[0].record.matrices[0].plane(PlaneKind::kScales).size, 0U);
  EXPECT_EQ(reordered(layout.layers[0].record, RecordOrder::kRows), make_expert_record(qwen_spec(kAffine4)));
  const SidecarLayout again = parse_sidecar_layout(sidecar_layout_text(layout), "layout.json");
  EXPECT_EQ(again.model_type, "qwen3_moe");
  ASSERT_EQ(again.layers.size(), 2U);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(again.layers[i].layer, i);
    EXPECT_EQ(again.layers[i].record, layout.layers[i].record) << i;
    EXPECT_EQ(again.layers[i].checksums, layout.layers[i].checksums);
  }
}

TEST(SidecarLayout, RefusesWhatItDoesNotKnow) {
  const auto refused = [](const std::function<void(json&)>& change, const char* word) {
    EXPECT_MACH_ERROR(parse_sidecar_layout(changed(change), "layout.json"), ErrorCode::kUnsupported,
                      AllOf(HasSubstr("layout.json"), HasSubstr(word)));
  };
  refused([](json& root) { root["format"] = "gguf"; }, "mach-expert-sidecar");
  refused([](json& root) { root["version"] = 2; }, "reads 1");
  refused([](json& root) { root["checksum"] = "crc32"; }, "xxh3-64");
  refused([](json& root) { root["layers"][1]["planes"][0]["codec"] = "iq9"; },
          "layer 1, plane gate.codes: codec");
  refused([](json& root) { root["layers"][0]["planes"][0]["order"] = "spiral"; }, "spiral");
  refused([](json& root) { root["layers"][0]["planes"][0]["bits"] = 7; }, "gate.codes");
  refused([](json& root) { root["layers"][0]["planes"].push_back({{"name", "gate.more"}}); }, "gate.more");
  refused([](json& root) { root["layers"][0]["planes"][0]["scale"] = "f64"; }, "f64");
}

TEST(SidecarLayout, RefusesContradictions) {
  const auto refused = [](const std::function<void(json&)>& change, const char* word) {
    EXPECT_MACH_ERROR(parse_sidecar_layout(changed(change), "layout.json"), ErrorCode::kCorruptFile,
                      AllOf(HasSubstr("layout.json"), HasSubstr(word)));
  };
  refused([](json& root) { root = json::array(); }, "must be an object");
  refused([](json& root) { root.erase("model_type"); }, "lacks \"model_type\"");
  refused([](json& root) { root["layers"] = json::array(); }, "not empty");
  refused([](json& root) { std::swap(root["layers"][0], root["layers"][1]); }, "ascending");
  refused([](json& root) { root["layers"][0]["layer"] = -1; }, "whole number");
  refused([](json& root) { root["layers"][0]["layer"] = 1U << 20; }, "must be 0 to");
  refused([](json& root) { root["layers"][0]["experts"] = 5; }, "layer 0: \"file_size\"");
  refused([](json& root) { root["layers"][0]["experts"] = uint64_t{1} << 40; }, "\"experts\"");
  refused([](json& root) { root["layers"][0]["record_size"] = 100; }, "record_size");
  refused([](json& root) { root["layers"][0]["checksums"].erase(0); }, "3 checksums for 4 experts");
  refused([](json& root) { root["layers"][0]["checksums"][2] = "0123"; }, "checksum of expert 2");
  refused([](json& root) { root["layers"][0]["checksums"][2] = "0123456789abcdeg"; }, "checksum of expert 2");
  const auto plane_refused = [&](const std::function<void(json&)>& change, const char* word) {
    refused([&](json& root) { change(root["layers"][1]["planes"][4]); }, word);  // up.scales
  };
  plane_refused([](json& plane) { plane["offset"] = 1; },
                "layer 1, plane up.scales: \"offset\" is 1, must be ");
  plane_refused([](json& plane) { plane["offset"] = 0; }, "must be 34816");
  plane_refused([](json& plane) { plane["offset"] = uint64_t{1} << 63; }, "\"offset\"");
  plane_refused([](json& plane) { plane["size"] = 7; }, "\"size\"");
  plane_refused([](json& plane) { plane["shape"] = {1, 2}; }, "must be [128, 4]");
  plane_refused([](json& plane) { plane["name"] = "up.biases"; }, "comes twice");
  plane_refused([](json& plane) { plane["name"] = 3; }, "must be a string");
  refused([](json& root) { root["layers"][0]["planes"].erase(0); }, "\"gate.codes\" is missing");
  refused([](json& root) { root["layers"][0]["planes"].erase(2); }, "\"gate.biases\" is missing");
  refused([](json& root) { root["layers"][0]["planes"][0]["shape"] = {uint64_t{1} << 40, 64}; }, "\"shape\"");
}

TEST(SidecarLayout, MustFitTheModel) {
  const ModelConfig config = testing::parse(testing::qwen_json());
  check_sidecar_layout(some_layout(), config, "layout.json");
  const auto refused = [&](const std::function<void(SidecarLayout&)>& change, const char* word) {
    SidecarLayout layout = some_layout();
    change(layout);
    EXPECT_MACH_ERROR(check_sidecar_layout(layout, config, "layout.json"), ErrorCode::kCorruptFile,
                      HasSubstr(word));
  };
  refused([](SidecarLayout& layout) { layout.model_type = "gpt_oss"; }, "qwen3_moe");
  refused([](SidecarLayout& layout) { layout.layers.pop_back(); }, "layer 1 is missing");
  refused([](SidecarLayout& layout) { layout.layers[0].experts = 3; }, "layer 0 has 3 experts, must have 4");
  refused([](SidecarLayout& layout) { layout.layers[1].record.matrices[2].spec.rows = 7; },
          "down is [7, 128]");
  refused([](SidecarLayout& layout) { layout.layers[1].record.matrices[0].spec.bias = true; },
          "does not use");
}

TEST(SidecarLayout, NamesLayerAndExpertOfIncompleteFiles) {
  const testing::TempDir folder;
  const SidecarLayout layout = some_layout();
  const uint64_t size = layout.layers[0].file_size();
  const std::string name = std::string(kSidecarFolder) + "/" + sidecar_layer_file(0);
  EXPECT_MACH_ERROR(check_sidecar_files(layout, folder.path()), ErrorCode::kNotFound,
                    HasSubstr("layer 0 is missing"));
  folder.write(name, std::string(size, 'x'));
  folder.write(std::string(kSidecarFolder) + "/" + sidecar_layer_file(1), std::string(size - 1, 'x'));
  EXPECT_MACH_ERROR(check_sidecar_files(layout, folder.path()), ErrorCode::kCorruptFile,
                    AllOf(HasSubstr("layer_01.bin"), HasSubstr("layer 1"), HasSubstr("expert 3 is cut off")));
  EXPECT_FALSE(read_sidecar_layout(folder.path()).has_value());
  folder.write(std::string(kSidecarFolder) + "/layout.json", sidecar_layout_text(layout));
  EXPECT_EQ(read_sidecar_layout(folder.path())->bytes(), 2 * size);
}

}  // namespace
}  // namespace mach
