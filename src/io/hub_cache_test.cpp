#include "io/hub_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/model_dir.h"
#include "io/safetensors_writer.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TempDir;

constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";
constexpr const char* kOther = "ffffffffffffffffffffffffffffffffffffffff";

std::string weights(const std::string& name) {
  const std::byte byte{1};
  const TensorData tensors[] = {{{name, DType::kU8, {1}}, std::span(&byte, 1)}};
  const std::vector<std::byte> file = serialize_safetensors(tensors);
  return {reinterpret_cast<const char*>(file.data()), file.size()};
}

// A cache with one repository, org/name, laid out as the hub client does it.
class HubCacheTest : public ::testing::Test {
 protected:
  const std::string repo_ = "hub/models--org--name";

  void add_file(const std::string& commit, const std::string& name, const std::string& content,
                const std::string& blob) const {
    dir_.write(repo_ + "/blobs/" + blob, content);
    const auto snapshot = dir_.path() / repo_ / "snapshots" / commit;
    std::filesystem::create_directories(snapshot);
    std::filesystem::create_symlink("../../blobs/" + blob, snapshot / name);
  }

  void add_whole_model(const std::string& commit) const {
    add_file(commit, "config.json", "{}", "config-" + commit);
    add_file(commit, "model.safetensors", weights("a"), "weights-" + commit);
  }

  void set_ref(const std::string& name, const std::string& content) const {
    dir_.write(repo_ + "/refs/" + name, content);
  }

  HubEnvironment environment() const {
    HubEnvironment result;
    result.hf_hub_cache = (dir_.path() / "hub").string();
    return result;
  }

  TempDir dir_;
};

TEST_F(HubCacheTest, FindsTheSnapshotOfABranchATagAndACommit) {
  add_whole_model(kCommit);
  add_whole_model(kOther);
  set_ref("main", kCommit);
  set_ref("v1", std::string(kOther) + "\n");
  set_ref("refs/pr/1", kOther);
  const auto commit_of = [&](const char* text) {
    return find_hub_snapshot(*parse_hub_model_id(text), environment()).commit;
  };
  EXPECT_EQ(commit_of("org/name"), kCommit);
  EXPECT_EQ(commit_of("org/name@main"), kCommit);
  EXPECT_EQ(commit_of("org/name@v1"), kOther);
  EXPECT_EQ(commit_of("org/name@refs/pr/1"), kOther);
  EXPECT_EQ(commit_of(("org/name@" + std::string(kOther)).c_str()), kOther);
}

TEST_F(HubCacheTest, AModelArgumentIsAFolderFirstAndAnIdSecond) {
  add_whole_model(kCommit);
  add_file(kCommit, "chat_template.jinja", "{{ x }}", "template");
  set_ref("main", kCommit);
  const ModelDirectory by_id = ModelDirectory::resolve("org/name", environment());
  EXPECT_EQ(by_id.path().filename(), kCommit);
  EXPECT_EQ(by_id.name(), "org/name");
  EXPECT_TRUE(by_id.config() && by_id.chat_template());
  EXPECT_FALSE(by_id.tokenizer());
  EXPECT_MACH_ERROR(by_id.required_file("tokenizer.json"), ErrorCode::kNotFound,
                    HasSubstr("tokenizer.json is missing"));
  EXPECT_EQ(read_tensor_catalog(by_id.path(), by_id.checkpoint_options()).tensors().size(), 1U);

  dir_.write("local/config.json", "{}");
  const ModelDirectory by_path = ModelDirectory::resolve((dir_.path() / "local").string(), environment());
  EXPECT_EQ(by_path.path(), dir_.path() / "local");
  EXPECT_EQ(by_path.name(), "local");
  EXPECT_FALSE(by_path.hub_id());
  // The snapshot folder itself, given as a path, may still follow its links into blobs/.
  EXPECT_TRUE(ModelDirectory::resolve(by_id.path().string(), environment()).config());
}

TEST_F(HubCacheTest, ErrorsListWhereItLooked) {
  HubEnvironment both = environment();
  both.transformers_cache = (dir_.path() / "older").string();
  EXPECT_MACH_ERROR(find_hub_snapshot(*parse_hub_model_id("org/other"), both), ErrorCode::kNotFound,
                    AllOf(HasSubstr("\"org/other\""), HasSubstr("hub/models--org--other does not exist"),
                          HasSubstr("older/models--org--other")));
  add_whole_model(kCommit);
  EXPECT_MACH_ERROR(find_hub_snapshot(*parse_hub_model_id("org/name"), both), ErrorCode::kNotFound,
                    HasSubstr("refs/main does not exist"));
  set_ref("main", "not a commit");
  EXPECT_MACH_ERROR(find_hub_snapshot(*parse_hub_model_id("org/name"), both), ErrorCode::kNotFound,
                    HasSubstr("40 hexadecimal digits"));
  set_ref("main", kOther);
  EXPECT_MACH_ERROR(find_hub_snapshot(*parse_hub_model_id("org/name"), both), ErrorCode::kNotFound,
                    HasSubstr("snapshots/" + std::string(kOther)));
  EXPECT_MACH_ERROR(ModelDirectory::resolve("org/other", both), ErrorCode::kNotFound,
                    AllOf(HasSubstr("no folder \"org/other\""), HasSubstr("does not exist")));
  EXPECT_MACH_ERROR(ModelDirectory::resolve("../../x", both), ErrorCode::kNotFound, HasSubstr("ORG/NAME"));
  EXPECT_MACH_ERROR(ModelDirectory::resolve("", both), ErrorCode::kNotFound, HasSubstr("ORG/NAME"));
  const auto file = dir_.write("file.txt", "");
  EXPECT_MACH_ERROR(ModelDirectory::resolve(file.string(), both), ErrorCode::kNotFound,
                    HasSubstr("is a file"));
}

TEST_F(HubCacheTest, APartialSnapshotIsNotUsed) {
  set_ref("main", kCommit);
  const auto fault = [&]() -> std::string {
    try {
      find_hub_snapshot(*parse_hub_model_id("org/name"), environment());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kNotFound);
      return error.what();
    }
    return "none";
  };
  add_file(kCommit, "model.safetensors.index.json",
           R"({"weight_map":{"a":"m1.safetensors","b":"m2.safetensors"}})", "index");
  EXPECT_THAT(fault(), HasSubstr("config.json is missing"));
  add_file(kCommit, "config.json", "{}", "config");
  add_file(kCommit, "m1.safetensors", weights("a"), "w1");
  EXPECT_THAT(fault(), HasSubstr("m2.safetensors is missing"));
  add_file(kCommit, "m2.safetensors", weights("b"), "w2.incomplete");
  EXPECT_THAT(fault(), HasSubstr("m2.safetensors is still being downloaded"));
  const auto snapshot = dir_.path() / repo_ / "snapshots" / kCommit;
  std::filesystem::remove(snapshot / "m2.safetensors");
  std::filesystem::create_symlink("../../blobs/w2", snapshot / "m2.safetensors");
  EXPECT_THAT(fault(), HasSubstr("m2.safetensors is missing"));  // a dangling link
  std::filesystem::rename(dir_.path() / repo_ / "blobs/w2.incomplete", dir_.path() / repo_ / "blobs/w2");
  EXPECT_EQ(fault(), "none");
}

TEST_F(HubCacheTest, APlainFileInPlaceOfALinkIsFine) {
  set_ref("main", kCommit);
  dir_.write(repo_ + "/snapshots/" + kCommit + "/config.json", "{}");
  dir_.write(repo_ + "/snapshots/" + kCommit + "/model.safetensors", weights("a"));
  EXPECT_EQ(find_hub_snapshot(*parse_hub_model_id("org/name"), environment()).commit, kCommit);
}

TEST_F(HubCacheTest, LinksMayNotLeaveTheRepository) {
  set_ref("main", kCommit);
  add_file(kCommit, "config.json", "{}", "config");
  dir_.write("hub/models--evil--x/blobs/w", weights("a"));
  std::filesystem::create_symlink("../../../models--evil--x/blobs/w",
                                  dir_.path() / repo_ / "snapshots" / kCommit / "model.safetensors");
  EXPECT_MACH_ERROR(find_hub_snapshot(*parse_hub_model_id("org/name"), environment()),
                    ErrorCode::kCorruptFile, HasSubstr("outside"));
}

TEST_F(HubCacheTest, TheSecondRootIsUsedWhenTheFirstLacksTheModel) {
  add_whole_model(kCommit);
  set_ref("main", kCommit);
  HubEnvironment env;
  env.hf_home = (dir_.path() / "empty-home").string();
  env.transformers_cache = (dir_.path() / "hub").string();
  EXPECT_EQ(find_hub_snapshot(*parse_hub_model_id("org/name"), env).commit, kCommit);
}

TEST(HubCacheRoot, FollowsTheVariablesInOrder) {
  HubEnvironment env;
  env.home = "/h";
  EXPECT_EQ(hub_cache_root(env), "/h/.cache/huggingface/hub");
  env.xdg_cache_home = "/x";
  EXPECT_EQ(hub_cache_root(env), "/x/huggingface/hub");
  env.hf_home = "/f";
  EXPECT_EQ(hub_cache_root(env), "/f/hub");
  env.huggingface_hub_cache = "/old";
  EXPECT_THAT(hub_cache_roots(env), ElementsAre("/old"));
  env.hf_hub_cache = "/c";
  env.transformers_cache = "/older";
  EXPECT_THAT(hub_cache_roots(env), ElementsAre("/c", "/old", "/older"));
}

TEST(HubModelId, FollowsTheGrammar) {
  const auto id = parse_hub_model_id("Qwen/Qwen3-30B-A3B@v1.0");
  ASSERT_TRUE(id);
  EXPECT_EQ(id->repo, "Qwen/Qwen3-30B-A3B");
  EXPECT_EQ(id->revision, "v1.0");
  EXPECT_EQ(id->folder_name(), "models--Qwen--Qwen3-30B-A3B");
  EXPECT_EQ(parse_hub_model_id("gpt2")->folder_name(), "models--gpt2");
  EXPECT_TRUE(parse_hub_model_id(std::string(96, 'a') + "/" + std::string(96, 'b')));
  const char* const bad[] = {"",        "/",        "a/",        "/a",    "a/b/c",   "a--b/c", "a/b--c",
                             "..",      "a/..",     "-a/b",      "a/.b",  "a b/c",   "a/b@",   "a/b@../x",
                             "a/b@/x",  "a/b@x/",   "a/b@x//y",  "a/b@.", "a/b@./x", "a\\b",   "a/b\n",
                             "a/b@x y", "~/models", "a/b@x/./y", "a..b/c"};
  for (const char* text : bad) EXPECT_FALSE(parse_hub_model_id(text)) << text;
  EXPECT_FALSE(parse_hub_model_id(std::string(97, 'a')));
}

}  // namespace
}  // namespace mach
