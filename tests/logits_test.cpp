// `mach logits` against the recorded logits beside the demo model (Hugging Face transformers 5.17.0, float32, from the
// dequantised weights) and against itself.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/half.h"
#include "io/safetensors.h"
#include "support/mach_program.h"
#include "support/temp_dir.h"

namespace mach::testing {
namespace {

using ::testing::HasSubstr;

// float32 sums of a 256-wide model in another order: 1.5e-5 was measured against the float64 reference.
constexpr double kExactTolerance = 1e-4;

std::vector<float> floats(const SafetensorsFile& file, const std::string& name) {
  const TensorInfo& tensor = file.at(name);
  const std::byte* data = file.data(tensor).data();
  std::vector<float> values(tensor.shape.elements().value());
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = tensor.dtype == DType::kF16 ? load_f16(data + 2 * i) : load_f32(data + 4 * i);
  }
  return values;
}

double largest_difference(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return largest;
}

class Logits : public ::testing::Test {
 protected:
  // The rows, [n, vocab_size].
  std::vector<float> run(const std::filesystem::path& model, const std::filesystem::path& ids,
                         std::vector<std::string> more = {}) const {
    const std::string out = (folder.path() / "out.safetensors").string();
    more.insert(more.begin(), {"logits", model.string(), "--ids", ids.string(), "--out", out});
    const ProcessResult result = run_mach(more);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out, "");
    return floats(SafetensorsFile::open(out), "logits");
  }

  TempDir folder;
  SafetensorsFile golden = SafetensorsFile::open(demo_model() / "golden.safetensors");
  nlohmann::json prompts = nlohmann::json::parse(read_file(demo_model() / "golden.json")).at("prompts");
};

TEST_F(Logits, ExactModeMeetsTheRecordedPromptLogits) {
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto ids = folder.write("ids.json", prompts[i].at("prompt_ids").dump());
    const std::vector<float> rows = run(demo_model(), ids, {"--exact"});
    const std::vector<float> expected = floats(golden, "logits." + std::to_string(i));
    ASSERT_GE(rows.size(), expected.size());
    EXPECT_LT(largest_difference(std::span(rows).last(expected.size()), expected), kExactTolerance)
        << "prompt " << i;
  }
}

TEST_F(Logits, OneTokenAtATimeGivesTheSameBits) {
  const auto ids = folder.write("ids.json", prompts[3].at("prompt_ids").dump());
  const std::vector<float> whole = run(demo_model(), ids, {"--exact", "--threads", "2"});
  const std::vector<float> steps = run(demo_model(), ids, {"--exact", "--incremental", "--threads", "1"});
  EXPECT_EQ(largest_difference(whole, steps), 0);
}

TEST_F(Logits, ReadsIdsFromSafetensors) {
  // input_ids of a golden file; the longer document of the demo model under that name.
  const TensorInfo& doc = golden.at("doc_ids");
  const std::byte* data = golden.data(doc).data();
  nlohmann::json ids;
  for (size_t i = 0; i < doc.shape[0]; ++i) ids.push_back(load_unaligned<int32_t>(data + 4 * i));
  const auto rows = run(demo_model(), folder.write("doc.json", ids.dump()), {"--exact"});
  // Stored as float16: half a unit of the last place at magnitude 32 is 2^-7.
  EXPECT_LT(largest_difference(rows, floats(golden, "doc_logits")), 0.0079);

  const ProcessResult missing =
      run_mach({"logits", demo_model().string(), "--ids", (demo_model() / "golden.safetensors").string(),
                "--out", (folder.path() / "x.safetensors").string()});
  EXPECT_EQ(missing.status, 9);
  EXPECT_THAT(missing.err, HasSubstr("input_ids"));
}

TEST_F(Logits, NeedsNoTokenizer) {
  const auto shared = shared_dir();
  if (!shared) GTEST_SKIP() << kNoSharedDir;
  const auto nano = *shared / "fixtures/nano/qwen3_moe";
  if (!std::filesystem::exists(nano)) GTEST_SKIP() << nano << " is not there";
  ASSERT_FALSE(std::filesystem::exists(nano / "tokenizer.json"));
  const SafetensorsFile file = SafetensorsFile::open(nano / "golden.safetensors");
  const std::vector<float> rows = run(nano, nano / "golden.safetensors", {"--exact"});
  EXPECT_LT(largest_difference(rows, floats(file, "logits")), kExactTolerance);
}

}  // namespace
}  // namespace mach::testing
