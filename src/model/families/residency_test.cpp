// Streamed, resident, stacked and from a sidecar: the same bits, for every checkpoint, in both numeric modes, prefill and
// decode, at any budget down to the floor and through every reader.
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "experts/bank_size.h"
#include "experts/expert_source.h"
#include "experts/sidecar_writer.h"
#include "model/families/family.h"
#include "support/expect_error.h"
#include "support/golden.h"
#include "support/shared_dir.h"
#include "support/temp_dir.h"

namespace mach::testing {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCheckpoints[] = {"fixtures/nano/qwen3_moe",     "fixtures/nano/qwen3_moe-mlx-4bit",
                                        "fixtures/nano/qwen3_5_moe",   "fixtures/nano/gpt_oss",
                                        "fixtures/nano/gpt_oss-mxfp4", "fixtures/nano/gemma4",
                                        "fixtures/nano/deepseek_v4",   "models/mini-qwen3_moe-mlx-4bit",
                                        "models/mini-qwen3_moe",       "models/mini-qwen3_5_moe",
                                        "models/mini-gpt_oss",         "models/mini-gpt_oss-mxfp4",
                                        "models/mini-deepseek_v4",     "models/mini-deepseek_v4-fp8-fp4",
                                        "models/mini-gemma4",          "models/mini-gemma4-mlx-4bit"};

// The folder's other files, and a sidecar of its experts.
void add_sidecar(const fs::path& folder, const fs::path& copy, RecordOrder order) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::error_code error;
    fs::create_hard_link(entry.path(), copy / entry.path().filename(), error);
    if (error) fs::copy_file(entry.path(), copy / entry.path().filename());
  }
  const ModelParts parts = open_model_parts(folder, {});
  const auto source = open_checkpoint_source(parts.weights->shard_paths(), parts.weights->plan(), order);
  SidecarWriter writer(copy, parts.config.model_type);
  ReadContext context(make_reader(ReaderKind::kBuffered, source->files()));
  for (const ExpertLayerSpec& layer : source->layers()) {
    AlignedBuffer record(layer.record.size, kDirectIoAlignment);
    writer.begin_layer(layer);
    for (uint32_t expert = 0; expert < layer.experts; ++expert) {
      source->read({layer.layer, expert}, record.bytes(), context);
      writer.append(std::span<const std::byte>(record.bytes()));
    }
    writer.end_layer();
  }
  writer.finish();
}

class ResidencyTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto shared = shared_dir();
    if (!shared) GTEST_SKIP() << kNoSharedDir;
    folder_ = *shared / GetParam();
  }

  // A prompt that is prefill to the bank, one that is not, and single tokens.
  static std::vector<float> run(const fs::path& folder, const ModelOptions& options) {
    LoadedModel loaded{make_model(open_model_parts(folder, options)), 2};
    TokenIds ids(60);
    for (size_t i = 0; i < ids.size(); ++i)
      ids[i] = static_cast<int32_t>((i * i + 3 * i + 7) % loaded.vocab_size());
    auto rows = logits_of(loaded, ids, {44, 10, 1, 1, 1, 1, 1, 1});
    status_ = loaded.model->expert_status();
    return rows;
  }

  static inline ExpertStatus status_;
  fs::path folder_;
};

TEST_P(ResidencyTest, StreamedIsResidentBitForBit) {
  const TempDir rows_copy;
  const TempDir fast_copy;
  add_sidecar(folder_, rows_copy.path(), RecordOrder::kRows);
  add_sidecar(folder_, fast_copy.path(), RecordOrder::kFast);
  for (const Numerics numerics : {Numerics::kExact, Numerics::kFast}) {
    ModelOptions options{.numerics = numerics};
    options.residency.mode = ResidencyMode::kResident;
    const auto wanted = run(folder_, options);
    for (const fs::path& folder : {rows_copy.path(), fast_copy.path()}) {
      EXPECT_EQ(difference(run(folder, options), wanted).largest, 0) << "resident from a sidecar";
      EXPECT_EQ(status_.source, "sidecar");
    }

    options.residency.mode = ResidencyMode::kStreaming;
    options.residency.lanes = 2;
    // Trained checkpoints are larger, and differ from the random ones only in size and values.
    const bool thorough = std::string(GetParam()).starts_with("fixtures");
    for (const fs::path& folder : {folder_, fast_copy.path(), rows_copy.path()}) {
      if (!thorough && folder == rows_copy.path()) continue;
      options.residency.reader = ReaderKind::kBuffered;
      options.residency.bank_bytes = 1;
      uint64_t floor = 0;  // as the refusal tells it
      try {
        run(folder, options);
        FAIL() << "a bank of one byte";
      } catch (const Error& error) {
        ASSERT_EQ(error_row(error.code()).name, error_row(ErrorCode::kOutOfBudget).name) << error.what();
        const std::string text = error.what();
        const size_t at = text.find("at least ");
        ASSERT_NE(at, std::string::npos) << text;
        floor = std::stoull(text.substr(at + 9));
      }
      for (const double factor : {1.0, 1.7, 1000.0}) {
        if (!thorough && factor > 1.7) continue;
        options.residency.bank_bytes = static_cast<uint64_t>(static_cast<double>(floor) * factor);
        EXPECT_EQ(difference(run(folder, options), wanted).largest, 0)
            << folder << " at " << factor << " times the floor";
        EXPECT_EQ(status_.residency, "streaming");
        EXPECT_LE(status_.bank_bytes, *options.residency.bank_bytes);
        EXPECT_GT(status_.total.misses, 0U);
      }
      options.residency.bank_bytes = floor;
      options.residency.lookahead = Lookahead::kOn;
      options.residency.eviction = EvictionKind::kLookahead;
      EXPECT_EQ(difference(run(folder, options), wanted).largest, 0) << "with guesses";
      options.residency.lookahead = Lookahead::kMeasured;
      options.residency.eviction = EvictionKind::kLru;
      for (const ReaderKind kind : {ReaderKind::kUring, ReaderKind::kPread, ReaderKind::kMmap}) {
        if (!thorough && kind != ReaderKind::kUring) continue;
        options.residency.reader = kind;
        try {
          EXPECT_EQ(difference(run(folder, options), wanted).largest, 0) << reader_name(kind);
        } catch (const Error& error) {
          ASSERT_EQ(error_row(error.code()).name, error_row(ErrorCode::kUnsupported).name) << error.what();
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, ResidencyTest, ::testing::ValuesIn(kCheckpoints), [](const auto& row) {
  std::string name = fs::path(row.param).filename().string();
  if (std::string(row.param).starts_with("fixtures")) name = "nano_" + name;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
});

}  // namespace
}  // namespace mach::testing
