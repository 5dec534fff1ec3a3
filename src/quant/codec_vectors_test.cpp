// Decoders and encoders against the reference vectors (MLX 2026-08 for affine and mx formats, transformers 5 for block fp8),
// which lie in the shared folder, and against the worked examples of the format descriptions, which stand here.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "quant/codec.h"
#include "quant/decode.h"
#include "quant/encode.h"
#include "quant/small_floats.h"
#include "support/shared_dir.h"

namespace mach {
namespace {

using nlohmann::json;

std::vector<std::byte> from_hex(const std::string& hex) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

std::vector<float> decode_all(const WeightMatrix& weight) {
  std::vector<float> values(size_t{weight.rows} * weight.cols);
  for (uint32_t r = 0; r < weight.rows; ++r)
    decode_row(weight, r, std::span(values).subspan(size_t{r} * weight.cols));
  return values;
}

std::optional<json> load_vectors() {
  const auto shared = testing::shared_dir();
  if (!shared) return std::nullopt;
  std::ifstream file(*shared / "specs" / "codec_vectors.json");
  if (!file) return std::nullopt;
  return json::parse(file);
}

#define MACH_LOAD_VECTORS(name)                              \
  const auto loaded_##name = load_vectors();                 \
  if (!loaded_##name) GTEST_SKIP() << testing::kNoSharedDir; \
  const json& name = *loaded_##name

WeightMatrix matrix_of(const WeightFormat& format, uint32_t rows, uint32_t cols,
                       const std::vector<std::byte>& codes, const std::vector<std::byte>& scales,
                       const std::vector<std::byte>& biases = {}) {
  WeightMatrix weight{.format = format, .rows = rows, .cols = cols};
  weight.codes = {codes.data(), row_bytes(format, cols)};
  weight.scales = {scales.data(), scale_row_bytes(format, cols)};
  if (!biases.empty()) weight.biases = {biases.data(), scale_row_bytes(format, cols)};
  return weight;
}

TEST(CodecVectors, TablesOfSmallFloats) {
  MACH_LOAD_VECTORS(vectors);
  const auto e2m1 = vectors["tables"]["e2m1"].get<std::vector<float>>();
  for (uint32_t code = 0; code < 16; ++code) EXPECT_EQ(e2m1_to_f32(code), e2m1[code]);
  const auto e4m3 = vectors["tables"]["e4m3_0_to_126"].get<std::vector<float>>();
  for (uint32_t code = 0; code < 127; ++code) EXPECT_EQ(e4m3_to_f32(static_cast<uint8_t>(code)), e4m3[code]);
}

TEST(CodecVectors, MlxAffine) {
  MACH_LOAD_VECTORS(vectors);
  for (const json& v : vectors["mlx_affine"]) {
    const auto rows = v["shape"][0].get<uint32_t>();
    const auto cols = v["shape"][1].get<uint32_t>();
    const WeightFormat format{CodecId::kAffine, ScaleType::kBF16, v["bits"].get<uint8_t>(),
                              v["group_size"].get<uint16_t>(), 1};
    SCOPED_TRACE(format_name(format));
    const auto codes = from_hex(v["packed"]);
    const auto expected = v["dequant"].get<std::vector<float>>();
    const auto decoded = decode_all(
        matrix_of(format, rows, cols, codes, from_hex(v["scales_bf16"]), from_hex(v["biases_bf16"])));
    const float largest = std::fabs(*std::max_element(
        expected.begin(), expected.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); }));
    ASSERT_EQ(decoded.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(decoded[i], expected[i], 1e-6 * largest) << i;

    const auto values = v["w"].get<std::vector<float>>();
    const EncodedMatrix encoded = encode_matrix(format, values, cols, 1.0F, AffineRule::kMlx);
    EXPECT_TRUE(std::ranges::equal(encoded.bytes().first(codes.size()), codes));
    EXPECT_TRUE(
        std::ranges::equal(encoded.bytes().subspan(codes.size(), rows * scale_row_bytes(format, cols)),
                           from_hex(v["scales_bf16"])));
  }
}

TEST(CodecVectors, MlxFp4AndFp8) {
  MACH_LOAD_VECTORS(vectors);
  for (const json& v : vectors["mlx_fp"]) {
    const std::string mode = v["mode"];
    const CodecRow* codec = find_codec(mode);
    ASSERT_NE(codec, nullptr) << mode;
    const auto rows = v["shape"][0].get<uint32_t>();
    const auto cols = v["shape"][1].get<uint32_t>();
    const WeightFormat format{codec->id, codec->scales[0], v["bits"].get<uint8_t>(),
                              v["group_size"].get<uint16_t>(), 1};
    SCOPED_TRACE(mode);
    const auto codes = from_hex(v["packed"]);
    const auto scales = from_hex(v["scales"]);
    EXPECT_EQ(decode_all(matrix_of(format, rows, cols, codes, scales)),
              v["dequant"].get<std::vector<float>>());

    const EncodedMatrix encoded = encode_matrix(format, v["w"].get<std::vector<float>>(), cols);
    EXPECT_TRUE(std::ranges::equal(encoded.bytes().subspan(codes.size(), scales.size()), scales));
    // Encoders may differ in the sign of zero, so values are compared rather than codes.
    EXPECT_EQ(decode_all(encoded.view()), v["dequant"].get<std::vector<float>>());
  }
}

TEST(CodecVectors, MxFp4LayoutsAreOne) {
  MACH_LOAD_VECTORS(vectors);
  const json& v = vectors["mxfp4_layouts"];
  const auto block = from_hex(v["hf_block"]);
  EXPECT_EQ(bytes_of(v["mlx_words"].get<std::vector<uint32_t>>()), block);
  const std::vector<std::byte> scale = {static_cast<std::byte>(v["scale"].get<uint8_t>())};
  EXPECT_EQ(decode_all(matrix_of({CodecId::kMxFp4, ScaleType::kE8M0, 4, 32, 1}, 1, 32, block, scale)),
            v["values"].get<std::vector<float>>());
}

TEST(CodecVectors, Fp8BlocksWithRaggedEdges) {
  MACH_LOAD_VECTORS(vectors);
  const json& v = vectors["fp8_block"];
  const auto rows = v["shape"][0].get<uint32_t>();
  const auto cols = v["shape"][1].get<uint32_t>();
  const WeightFormat format{CodecId::kFp8Block, ScaleType::kF32, 8, v["weight_block_size"][1].get<uint16_t>(),
                            v["weight_block_size"][0].get<uint16_t>()};
  EXPECT_EQ(scale_rows(format, rows), v["scale_shape"][0].get<uint64_t>());
  const auto scales = bytes_of(v["weight_scale_inv"].get<std::vector<float>>());
  const auto codes = from_hex(v["codes"]);
  EXPECT_EQ(decode_all(matrix_of(format, rows, cols, codes, scales)), v["dequant"].get<std::vector<float>>());
}

// Packing of codes 0, 1, 2, ... in the widths that straddle bytes.
TEST(CodecExamples, PackingOfEveryWidth) {
  const auto codes_of = [](const std::string& hex, uint32_t bits, uint32_t count) {
    const auto bytes = from_hex(hex);
    std::vector<uint32_t> codes;
    for (uint32_t i = 0; i < count; ++i) codes.push_back(load_code(bytes.data(), i, bits));
    return codes;
  };
  EXPECT_EQ(codes_of("88c6fa", 3, 8), (std::vector<uint32_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(codes_of("2088418a39", 5, 8), (std::vector<uint32_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(codes_of("813010", 6, 4), (std::vector<uint32_t>{1, 2, 3, 4}));
  EXPECT_EQ(codes_of("e4", 2, 4), (std::vector<uint32_t>{0, 1, 2, 3}));
  EXPECT_EQ(codes_of("21436587", 4, 8), (std::vector<uint32_t>{1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST(CodecExamples, AffineRampOf32) {
  std::vector<float> ramp(32);
  for (int i = 0; i < 32; ++i) ramp[static_cast<size_t>(i)] = static_cast<float>(i - 10);
  const EncodedMatrix encoded = encode_matrix({CodecId::kAffine, ScaleType::kF32, 4, 32, 1}, ramp, 32);
  EXPECT_TRUE(std::ranges::equal(encoded.bytes().first(16), from_hex("efdecdbcabaa99887766554433221100")));
  EXPECT_FLOAT_EQ(load_scale(ScaleType::kF32, encoded.view().scales.data, 0), -2.1F);
  EXPECT_FLOAT_EQ(load_scale(ScaleType::kF32, encoded.view().biases.data, 0), 21.0F);
  const auto decoded = decode_all(encoded.view());
  EXPECT_FLOAT_EQ(decoded[0], -10.5F);
  EXPECT_NEAR(decoded[10], 0.0F, 1e-6F);
}

TEST(CodecExamples, AffineConstantGroups) {
  const WeightFormat format{CodecId::kAffine, ScaleType::kF32, 4, 32, 1};
  EXPECT_EQ(decode_all(encode_matrix(format, std::vector<float>(32, 0.0F), 32).view()),
            std::vector<float>(32, 0.0F));
  EXPECT_EQ(decode_all(encode_matrix(format, std::vector<float>(32, 0.5F), 32).view()),
            std::vector<float>(32, 0.5F));
}

TEST(CodecExamples, MxFp4) {
  std::vector<std::byte> codes(16);
  codes[0] = std::byte{0xf3};
  const std::vector<std::byte> scale = {std::byte{0x80}};
  const auto decoded =
      decode_all(matrix_of({CodecId::kMxFp4, ScaleType::kE8M0, 4, 32, 1}, 1, 32, codes, scale));
  EXPECT_EQ(decoded[0], 3.0F);
  EXPECT_EQ(decoded[1], -12.0F);
}

TEST(CodecExamples, Fp8) {
  const std::vector<std::byte> codes = {std::byte{0x4a}};
  const auto scale = bytes_of(std::vector<float>{0.01F});
  EXPECT_FLOAT_EQ(
      decode_all(matrix_of({CodecId::kFp8Block, ScaleType::kF32, 8, 128, 128}, 1, 1, codes, scale))[0],
      0.05F);
}

}  // namespace
}  // namespace mach
