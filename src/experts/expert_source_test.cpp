// Every source against the records that the other one gives, on the real layouts of the nano checkpoints.
#include "experts/expert_source.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "arch/tensor_plan.h"
#include "experts/expert_view.h"
#include "experts/sidecar_writer.h"
#include "io/checkpoint_files.h"
#include "io/json.h"
#include "support/expect_error.h"
#include "support/shared_dir.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

struct Checkpoint {
  ModelConfig config;
  TensorPlan plan;
  std::unique_ptr<ExpertSource> source;
};

Checkpoint open_checkpoint(const fs::path& folder, RecordOrder order = RecordOrder::kRows) {
  Checkpoint out;
  out.config = parse_model_config(read_json_file(folder / "config.json"), folder.string());
  out.plan = build_tensor_plan(out.config, read_tensor_catalog(folder));
  out.source = open_checkpoint_source(list_checkpoint_shards(folder), out.plan, order);
  return out;
}

AlignedBuffer read_record(const ExpertSource& source, ExpertId id, ReaderKind kind = ReaderKind::kBuffered) {
  AlignedBuffer record(source.find(id.layer)->record.size, kDirectIoAlignment);
  ReadContext context(make_reader(kind, source.files()));
  source.read(id, record.bytes(), context);
  return record;
}

void write_sidecar(const Checkpoint& checkpoint, const fs::path& folder) {
  SidecarWriter writer(folder, checkpoint.config.model_type);
  ReadContext context(make_reader(ReaderKind::kBuffered, checkpoint.source->files()));
  for (const ExpertLayerSpec& layer : checkpoint.source->layers()) {
    AlignedBuffer record(layer.record.size, kDirectIoAlignment);
    writer.begin_layer(layer);
    for (uint32_t expert = 0; expert < layer.experts; ++expert) {
      checkpoint.source->read({layer.layer, expert}, record.bytes(), context);
      writer.append(std::span<const std::byte>(record.bytes()));
    }
    writer.end_layer();
  }
  writer.finish();
}

class ExpertSources : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto shared = testing::shared_dir();
    if (!shared) GTEST_SKIP() << testing::kNoSharedDir;
    folder_ = *shared / "fixtures/nano" / GetParam();
  }
  fs::path folder_;
};

// Sidecars in both orders, read in both orders, through every reader.
TEST_P(ExpertSources, SidecarRecordsAreThoseOfTheCheckpoint) {
  for (const RecordOrder stored : {RecordOrder::kRows, RecordOrder::kFast}) {
    const testing::TempDir copy;
    const Checkpoint written = open_checkpoint(folder_, stored);
    write_sidecar(written, copy.path());
    const auto layout = read_sidecar_layout(copy.path());
    ASSERT_TRUE(layout.has_value());
    check_sidecar_layout(*layout, written.config, "layout.json");
    for (const RecordOrder order : {RecordOrder::kRows, RecordOrder::kFast}) {
      const Checkpoint checkpoint = open_checkpoint(folder_, order);
      const auto sidecar = open_sidecar_source(copy.path(), *layout, true, order);
      ASSERT_EQ(sidecar->layers().size(), checkpoint.source->layers().size());
      for (const ExpertLayerSpec& layer : sidecar->layers()) {
        ASSERT_EQ(layer.record, checkpoint.source->find(layer.layer)->record);
        for (uint32_t expert = 0; expert < std::min(layer.experts, 5U); ++expert) {
          const ExpertId id{layer.layer, expert};
          const AlignedBuffer wanted = read_record(*checkpoint.source, id);
          for (const ReaderKind kind : kReaderKinds) {
            if (!make_reader(kind, sidecar->files())) continue;
            for (const ExpertSource* source : {sidecar.get(), checkpoint.source.get()}) {
              const AlignedBuffer got = read_record(*source, id, kind);
              ASSERT_EQ(0, std::memcmp(got.data(), wanted.data(), wanted.size()))
                  << to_string(id) << " " << reader_name(kind) << " " << source->name();
            }
          }
        }
      }
    }
  }
}

TEST_P(ExpertSources, NameLayerAndExpertOfWhatIsWrong) {
  const testing::TempDir copy;
  write_sidecar(open_checkpoint(folder_), copy.path());
  const SidecarLayout layout = *read_sidecar_layout(copy.path());
  const uint32_t layer = layout.layers.front().layer;
  const fs::path file = copy.path() / kSidecarFolder / sidecar_layer_file(layer);
  const std::string whole = testing::read_file(file);

  std::string damaged = whole;
  damaged[layout.layers.front().record_offset(1) + 5] ^= 0x10;
  copy.write(fs::path(kSidecarFolder) / file.filename(), damaged);
  const auto checked = open_sidecar_source(copy.path(), layout, true);
  read_record(*checked, {layer, 0});
  const std::string name = to_string(ExpertId{layer, 1});
  EXPECT_MACH_ERROR(read_record(*checked, {layer, 1}), ErrorCode::kCorruptFile,
                    AllOf(HasSubstr(name), HasSubstr(file.string()), HasSubstr("checksum")));
  read_record(*open_sidecar_source(copy.path(), layout, false), {layer, 1});  // nobody asked

  fs::resize_file(file, whole.size() - 4096);
  EXPECT_MACH_ERROR(
      read_record(*checked, {layer, 0}), ErrorCode::kIo,
      AllOf(HasSubstr(to_string(ExpertId{layer, 0})), HasSubstr("changed while it was in use")));
  EXPECT_MACH_ERROR(open_sidecar_source(copy.path(), layout, false), ErrorCode::kCorruptFile,
                    HasSubstr("cut off"));
}

INSTANTIATE_TEST_SUITE_P(Nano, ExpertSources,
                         ::testing::Values("qwen3_moe", "qwen3_moe-mlx-4bit", "qwen3_5_moe", "gpt_oss",
                                           "gpt_oss-mxfp4", "gemma4", "deepseek_v4"),
                         [](const auto& row) {
                           std::string name = row.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace mach
