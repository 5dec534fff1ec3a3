#include "io/checkpoint_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/contained_path.h"
#include "io/safetensors_writer.h"
#include "support/expect_error.h"
#include "support/shared_dir.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using testing::TempDir;

// A shard with one U8 tensor of one byte per name; the byte is `mark`.
std::string shard(const std::vector<std::string>& names, char mark) {
  const std::byte byte = static_cast<std::byte>(mark);
  std::vector<TensorData> tensors;
  tensors.reserve(names.size());
  for (const std::string& name : names) tensors.push_back({{name, DType::kU8, {1}}, std::span(&byte, 1)});
  const std::vector<std::byte> file = serialize_safetensors(tensors);
  return {reinterpret_cast<const char*>(file.data()), file.size()};
}

char value_of(const CheckpointFiles& files, std::string_view name) {
  return static_cast<char>(files.data(name)[0]);
}

TEST(CheckpointFiles, TheIndexDecidesWhichFilesAndTensorsCount) {
  const TempDir dir;
  dir.write("one.safetensors", shard({"a", "b", "twice"}, '1'));
  dir.write("two.safetensors", shard({"c", "twice", "extra"}, '2'));
  dir.write("model.safetensors", shard({"ignored"}, '3'));
  dir.write(
      "model.safetensors.index.json",
      R"({"weight_map":{"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors","twice":"two.safetensors"}})");
  const CheckpointFiles files = CheckpointFiles::open(dir.path());
  EXPECT_THAT(files.catalog().tensors(), ElementsAre(Key("a"), Key("b"), Key("c"), Key("twice")));
  EXPECT_EQ(value_of(files, "a"), '1');
  EXPECT_EQ(value_of(files, "twice"), '2');
  std::vector<std::string> unmapped;
  for (const auto& u : files.catalog().unmapped()) unmapped.push_back(u.shard + ":" + u.tensor);
  EXPECT_THAT(unmapped, ElementsAre("one.safetensors:twice", "two.safetensors:extra"));
  EXPECT_EQ(files.catalog().total_bytes(), 4U);
}

TEST(CheckpointFiles, WithoutAnIndexTheSingleFileCounts) {
  const TempDir dir;
  dir.write("model.safetensors", shard({"a"}, '1'));
  dir.write("model-00001-of-00002.safetensors", shard({"b"}, '2'));
  EXPECT_THAT(read_tensor_catalog(dir.path()).tensors(), ElementsAre(Key("a")));
}

TEST(CheckpointFiles, OtherwiseAllModelFilesInNameOrder) {
  const TempDir dir;
  dir.write("model-00002-of-00002.safetensors", shard({"b"}, '2'));
  dir.write("model-00001-of-00002.safetensors", shard({"a"}, '1'));
  dir.write("consolidated.safetensors", shard({"c"}, '3'));
  dir.write("adapter_model.safetensors", shard({"d"}, '4'));
  dir.write("mtp.safetensors", shard({"e"}, '5'));
  dir.write("original/model.safetensors", shard({"f"}, '6'));
  dir.write("model.safetensors.index.fp32.json", "{}");
  const CheckpointFiles files = CheckpointFiles::open(dir.path());
  ASSERT_EQ(files.catalog().shards().size(), 2U);
  EXPECT_EQ(files.catalog().shards()[0].name, "model-00001-of-00002.safetensors");
  EXPECT_THAT(files.catalog().tensors(), ElementsAre(Key("a"), Key("b")));
  EXPECT_EQ(value_of(files, "b"), '2');
}

TEST(CheckpointFiles, ExtraShardsAddWhatIsNew) {
  const TempDir dir;
  dir.write("model.safetensors", shard({"a", "b"}, '1'));
  dir.write("mtp.safetensors", shard({"b", "mtp.fc"}, '2'));
  CheckpointOptions options;
  options.extra_shards = {"mtp.safetensors"};
  const CheckpointFiles files = CheckpointFiles::open(dir.path(), options);
  EXPECT_EQ(value_of(files, "b"), '1');
  EXPECT_EQ(value_of(files, "mtp.fc"), '2');
  ASSERT_EQ(files.catalog().unmapped().size(), 1U);
  EXPECT_EQ(files.catalog().unmapped()[0].tensor, "b");
  options.extra_shards = {"absent.safetensors"};
  EXPECT_MACH_ERROR(CheckpointFiles::open(dir.path(), options), ErrorCode::kNotFound,
                    HasSubstr("absent.safetensors"));
  options.extra_shards = {"../mtp.safetensors"};
  EXPECT_MACH_ERROR(CheckpointFiles::open(dir.path(), options), ErrorCode::kInvalidRequest,
                    HasSubstr("leads out"));
}

TEST(CheckpointFiles, ATensorInTwoFilesNeedsAnIndex) {
  const TempDir dir;
  dir.write("model-1.safetensors", shard({"a"}, '1'));
  dir.write("model-2.safetensors", shard({"a"}, '2'));
  EXPECT_MACH_ERROR(
      read_tensor_catalog(dir.path()), ErrorCode::kCorruptFile,
      AllOf(HasSubstr("\"a\""), HasSubstr("model-1.safetensors"), HasSubstr("model-2.safetensors")));
}

TEST(CheckpointFiles, TheIndexMustBeTrue) {
  const TempDir dir;
  dir.write("one.safetensors", shard({"a"}, '1'));
  const auto index = [&](const char* map) {
    dir.write("model.safetensors.index.json", "{\"weight_map\":" + std::string(map) + "}");
  };
  index(R"({"a":"one.safetensors","b":"two.safetensors"})");
  EXPECT_MACH_ERROR(read_tensor_catalog(dir.path()), ErrorCode::kNotFound,
                    AllOf(HasSubstr("two.safetensors is missing"), HasSubstr("lists it")));
  index(R"({"a":"one.safetensors","b":"one.safetensors"})");
  EXPECT_MACH_ERROR(read_tensor_catalog(dir.path()), ErrorCode::kCorruptFile,
                    AllOf(HasSubstr("\"b\""), HasSubstr("one.safetensors")));
  dir.write("two.safetensors", shard({"b"}, '2'));
  index(R"({"a":"two.safetensors","b":"two.safetensors"})");
  EXPECT_MACH_ERROR(read_tensor_catalog(dir.path()), ErrorCode::kCorruptFile,
                    AllOf(HasSubstr("\"a\""), HasSubstr("two.safetensors")));
}

TEST(CheckpointFiles, SaysWhatAFolderWithoutWeightsLacks) {
  const TempDir dir;
  EXPECT_MACH_ERROR(read_tensor_catalog(dir.path()), ErrorCode::kNotFound,
                    AllOf(HasSubstr(dir.path().string()), HasSubstr("model*.safetensors")));
  EXPECT_MACH_ERROR(read_tensor_catalog(dir.path() / "absent"), ErrorCode::kNotFound,
                    HasSubstr("absent is not a folder"));
}

TEST(CheckpointFiles, ADamagedShardIsNamed) {
  const TempDir dir;
  dir.write("model.safetensors", shard({"a"}, '1').substr(0, 40));
  EXPECT_MACH_ERROR(read_tensor_catalog(dir.path()), ErrorCode::kCorruptFile, HasSubstr("model.safetensors"));
}

TEST(CheckpointFiles, HolesAreAWarningWhenAllowed) {
  const TempDir dir;
  dir.write("model.safetensors", shard({"a"}, '1') + "padding");
  EXPECT_MACH_ERROR(read_tensor_catalog(dir.path()), ErrorCode::kCorruptFile,
                    HasSubstr("7 bytes after the last tensor"));
  CheckpointOptions options;
  options.holes = HolePolicy::kWarn;
  EXPECT_THAT(read_tensor_catalog(dir.path(), options).warnings(), ElementsAre(HasSubstr("7 bytes")));
}

TEST(CheckpointFiles, LinksStayInside) {
  const TempDir dir;
  const TempDir outside;
  const auto target = outside.write("secret.safetensors", shard({"a"}, '1'));
  std::filesystem::create_symlink(target, dir.path() / "model.safetensors");
  EXPECT_MACH_ERROR(read_tensor_catalog(dir.path()), ErrorCode::kCorruptFile,
                    AllOf(HasSubstr("model.safetensors is a link to"), HasSubstr("outside")));
  CheckpointOptions options;
  options.link_root = outside.path();
  EXPECT_THAT(read_tensor_catalog(dir.path(), options).tensors(), ElementsAre(Key("a")));
}

TEST(CheckpointFiles, ASnapshotMayLinkToItsBlobs) {
  const TempDir root;
  const auto snapshot = root.path() / "models--o--n" / "snapshots" / "0123";
  root.write("models--o--n/blobs/etag", shard({"a"}, '7'));
  std::filesystem::create_directories(snapshot);
  std::filesystem::create_symlink("../../blobs/etag", snapshot / "model.safetensors");
  EXPECT_EQ(value_of(CheckpointFiles::open(snapshot), "a"), '7');
}

TEST(CheckpointFiles, UnknownTypesAreRefusedByNameWhenAskedFor) {
  const TempDir dir;
  const std::string header = R"({"q":{"dtype":"Q7","shape":[1],"data_offsets":[0,1]}})";
  std::string file(8, '\0');
  file[0] = static_cast<char>(header.size());
  dir.write("model.safetensors", file + header + "x");
  const CheckpointFiles files = CheckpointFiles::open(dir.path());
  EXPECT_EQ(files.find("q")->dtype_name(), "Q7");
  EXPECT_MACH_ERROR(files.data("q"), ErrorCode::kUnsupported,
                    AllOf(HasSubstr("model.safetensors"), HasSubstr("\"q\""), HasSubstr("Q7")));
  EXPECT_MACH_ERROR(files.data(*files.find("q")), ErrorCode::kUnsupported, HasSubstr("Q7"));
  EXPECT_MACH_ERROR(files.data("r"), ErrorCode::kCorruptFile, HasSubstr("\"r\""));
}

TEST(ContainedFile, RefusesNamesThatClimb) {
  const TempDir dir;
  for (const char* name : {"", "..", "../x", "a/../../x", "/etc/passwd"}) {
    EXPECT_MACH_ERROR(contained_file(dir.path(), name, dir.path()), ErrorCode::kInternal,
                      HasSubstr("not plain"));
  }
  dir.write("sub/file", "x");
  EXPECT_EQ(contained_file(dir.path(), "sub/file", dir.path()), dir.path() / "sub/file");
  EXPECT_EQ(contained_file(dir.path(), "sub", dir.path()), std::nullopt);
  EXPECT_EQ(contained_file(dir.path(), "sub/file/deeper", dir.path()), std::nullopt);
  std::filesystem::create_symlink("nowhere", dir.path() / "dangling");
  EXPECT_EQ(contained_file(dir.path(), "dangling", dir.path()), std::nullopt);
  std::filesystem::create_symlink("loop", dir.path() / "loop");
  EXPECT_MACH_ERROR(contained_file(dir.path(), "loop", dir.path()), ErrorCode::kIo, HasSubstr("loop"));
  EXPECT_MACH_ERROR(contained_file(dir.path(), "sub/file", dir.path() / "sub2"), ErrorCode::kIo,
                    HasSubstr("sub2"));
}

TEST(ContainedFile, AFolderWithTheSameBeginningIsNotInside) {
  const TempDir dir;
  dir.write("model-secret/file", "x");
  std::filesystem::create_directory(dir.path() / "model");
  std::filesystem::create_symlink("../model-secret/file", dir.path() / "model" / "file");
  EXPECT_MACH_ERROR(contained_file(dir.path() / "model", "file", dir.path() / "model"),
                    ErrorCode::kCorruptFile, HasSubstr("outside"));
}

TEST(CheckpointFiles, OpensTheReferenceCheckpoints) {
  const auto shared = testing::shared_dir();
  if (!shared) GTEST_SKIP() << testing::kNoSharedDir;
  const CheckpointFiles sharded = CheckpointFiles::open(*shared / "models" / "mini-qwen3_moe");
  EXPECT_EQ(sharded.catalog().shards().size(), 3U);
  EXPECT_THAT(sharded.catalog().unmapped(), IsEmpty());
  const CatalogEntry& embedding = sharded.catalog().at("model.embed_tokens.weight");
  EXPECT_EQ(embedding.dtype, DType::kBF16);
  EXPECT_EQ(embedding.shape, (Shape{4096, 256}));
  EXPECT_EQ(sharded.data(embedding).size(), 4096U * 256U * 2U);

  const TensorCatalog hybrid = read_tensor_catalog(*shared / "models" / "mini-qwen3_5_moe");
  EXPECT_EQ(hybrid.at("mtp.fc.weight").shape, (Shape{256, 512}));  // its index lists the file
}

}  // namespace
}  // namespace mach
