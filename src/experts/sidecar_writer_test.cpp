#include "experts/sidecar_writer.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

ExpertLayerSpec spec_of(uint32_t layer, uint32_t experts) {
  const WeightFormat format{.codec = CodecId::kMxFp4, .scale = ScaleType::kE8M0, .bits = 4, .group = 32};
  return {layer, experts,
          make_expert_record(
              {MatrixSpec{format, 64, 96}, MatrixSpec{format, 64, 96}, MatrixSpec{format, 96, 64}})};
}

std::vector<std::byte> record_of(const ExpertLayerSpec& spec, uint32_t expert) {
  return std::vector<std::byte>(spec.record.size, static_cast<std::byte>(16 * spec.layer + expert));
}

void write_layer(SidecarWriter& writer, const ExpertLayerSpec& spec) {
  writer.begin_layer(spec);
  for (uint32_t expert = 0; expert < spec.experts; ++expert) writer.append(record_of(spec, expert));
  writer.end_layer();
}

TEST(SidecarWriter, WritesWhatTheLayoutSays) {
  const testing::TempDir folder;
  SidecarWriter writer(folder.path(), "qwen3_moe");
  write_layer(writer, spec_of(0, 3));
  write_layer(writer, spec_of(2, 2));
  EXPECT_FALSE(read_sidecar_layout(folder.path()).has_value());  // not before it is whole
  writer.finish();
  const auto layout = read_sidecar_layout(folder.path());
  ASSERT_TRUE(layout.has_value());
  check_sidecar_files(*layout, folder.path());
  ASSERT_EQ(layout->layers.size(), 2U);
  EXPECT_EQ(layout->layers[1].layer, 2U);
  EXPECT_EQ(layout->layers[1].checksums[1], record_checksum(record_of(spec_of(2, 2), 1)));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path() / kSidecarFolder), {}), 3);
}

TEST(SidecarWriter, GoesOnWhereAnEarlierOneStopped) {
  const testing::TempDir folder;
  {
    SidecarWriter writer(folder.path(), "qwen3_moe");
    write_layer(writer, spec_of(0, 3));
    writer.begin_layer(spec_of(1, 3));
    writer.append(record_of(spec_of(1, 3), 0));
  }
  folder.write("expert_sidecar/.layer_05.bin.999999999.0", "left by a killed writer");
  SidecarWriter writer(folder.path(), "qwen3_moe");
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "expert_sidecar/.layer_05.bin.999999999.0"));
  EXPECT_TRUE(writer.has_layer(spec_of(0, 3)));
  EXPECT_FALSE(writer.has_layer(spec_of(0, 2)));
  EXPECT_FALSE(writer.has_layer(spec_of(1, 3)));
  write_layer(writer, spec_of(1, 3));
  writer.finish();
  check_sidecar_files(*read_sidecar_layout(folder.path()), folder.path());
  EXPECT_EQ(read_sidecar_layout(folder.path())->layers.size(), 2U);

  EXPECT_FALSE(SidecarWriter(folder.path(), "gpt_oss").has_layer(spec_of(0, 3)));
  EXPECT_FALSE(read_sidecar_layout(folder.path()).has_value())
      << "an older layout vouches for files being rewritten";
}

TEST(SidecarWriter, RefusesCallsOutOfOrder) {
  const testing::TempDir folder;
  SidecarWriter writer(folder.path(), "qwen3_moe");
  const ExpertLayerSpec spec = spec_of(0, 1);
  EXPECT_THROW(writer.append(record_of(spec, 0)), Error);
  writer.begin_layer(spec);
  EXPECT_THROW(writer.end_layer(), Error);
  EXPECT_THROW(writer.begin_layer(spec), Error);
  EXPECT_THROW(writer.append(std::vector<std::byte>(7)), Error);
  EXPECT_THROW(writer.finish(), Error);
  writer.append(record_of(spec, 0));
  EXPECT_THROW(writer.append(record_of(spec, 0)), Error);
}

}  // namespace
}  // namespace mach
