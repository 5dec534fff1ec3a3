#include "arch/local_models.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

namespace fs = std::filesystem;

TEST(LocalModels, ListsFoldersAndSnapshotsOnceWithTheirFaults) {
  const mach::testing::TempDir dir;
  const fs::path root = dir.path();
  const fs::path snapshot = root / "hub/models--org--name/snapshots/0123456789abcdef0123456789abcdef01234567";
  fs::create_directories(snapshot);
  write_file_atomically(snapshot / "config.json", R"({"model_type": "llama"})");
  write_file_atomically(snapshot / "model.safetensors", std::string(1000, 'x'));
  fs::create_directories(root / "models/group/broken");
  write_file_atomically(root / "models/group/broken/config.json", "{");
  fs::create_directories(root / "models/.hidden");
  write_file_atomically(root / "models/.hidden/config.json", "{}");
  HubEnvironment hub;
  hub.hf_hub_cache = (root / "hub").string();

  const std::vector<fs::path> roots = {root / "models", root / "models", root / "absent"};
  const auto models = find_local_models(roots, hub);
  ASSERT_EQ(models.size(), 2U);
  EXPECT_EQ(models[0].name, "group/broken");
  EXPECT_FALSE(models[0].supported);
  EXPECT_EQ(models[1].name, "org/name");
  EXPECT_EQ(models[1].model_type, "llama");
  EXPECT_NE(models[1].problem.find("qwen3_moe"), std::string::npos) << models[1].problem;
  EXPECT_EQ(models[1].bytes, 1000U + 23U);
}

}  // namespace
}  // namespace mach
