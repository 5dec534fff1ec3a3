#include "engine/prefix_cache/state_file.h"

#include <cstring>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/prefix_cache/fake_states.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

using Tokens = std::vector<TokenId>;
using testing::FakeStates;
using ::testing::HasSubstr;

constexpr ModelIdentity kModel{7, 8};
const Tokens kTokens = {4, 5, 6, 7};

class StateFile : public ::testing::Test {
 protected:
  StateFile() { write_state_file(path, kModel, {2.5, 1234}, kTokens, 3, *states.of(kTokens)); }

  std::string content() const { return testing::read_file(path); }
  static StateFileHeader parse(const std::string& file) {
    return parse_state_file(std::as_bytes(std::span(file)), file.size(), "x.machkv");
  }

  testing::TempDir folder;
  std::filesystem::path path = folder.path() / "x.machkv";
  FakeStates states{true};
  std::vector<std::byte> window = std::vector<std::byte>(64);  // smaller than what is read
};

TEST_F(StateFile, SaysWhatWasWritten) {
  const std::string file = content();
  const StateFileHeader header = parse(file);
  EXPECT_EQ(header.identity, kModel);
  EXPECT_EQ(header.tokens, kTokens);
  EXPECT_EQ(header.truncatable_to, 3U);
  EXPECT_EQ(header.use.effective_hits, 2.5);
  EXPECT_EQ(header.use.last_used, 1234);
  const auto state = states.empty();
  read_state_file(path, kModel, kTokens, window, *state);
  EXPECT_EQ(FakeStates::tokens(*state), kTokens);
}

TEST_F(StateFile, UseIsRewrittenInPlace) {
  write_file_use(path, {9, 99});
  EXPECT_EQ(parse(content()).use.effective_hits, 9);
  write_file_use(path, {std::numeric_limits<double>::quiet_NaN(), 99});
  EXPECT_EQ(parse(content()).use.effective_hits, 0);
  const auto state = states.empty();
  read_state_file(path, kModel, kTokens, window, *state);
  EXPECT_EQ(state->length(), 4U);
}

TEST_F(StateFile, AnyOtherDamageIsRefusedAndLeavesTheStateEmpty) {
  const std::string good = content();
  for (size_t i = 0; i < good.size(); ++i) {
    if (i >= 16 && i < 32) continue;  // the use
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x20);
    folder.write("x.machkv", bad);
    const auto state = states.empty();
    EXPECT_MACH_ERROR(read_state_file(path, kModel, kTokens, window, *state), ErrorCode::kCorruptFile,
                      HasSubstr("x.machkv"));
    EXPECT_EQ(state->length(), 0U) << i;
  }
  for (size_t size = 0; size < good.size(); ++size) {
    folder.write("x.machkv", good.substr(0, size));
    EXPECT_MACH_ERROR(read_state_file(path, kModel, kTokens, window, *states.empty()),
                      ErrorCode::kCorruptFile, HasSubstr("x.machkv"));
  }
  folder.write("x.machkv", good + "x");
  EXPECT_MACH_ERROR(read_state_file(path, kModel, kTokens, window, *states.empty()), ErrorCode::kCorruptFile,
                    HasSubstr("state size"));
}

TEST_F(StateFile, AnotherModelOrOtherTokensAreRefused) {
  EXPECT_MACH_ERROR(read_state_file(path, {7, 9}, kTokens, window, *states.empty()), ErrorCode::kCorruptFile,
                    HasSubstr("another model"));
  EXPECT_MACH_ERROR(read_state_file(path, kModel, Tokens{4, 5, 6, 8}, window, *states.empty()),
                    ErrorCode::kCorruptFile, HasSubstr("other tokens"));
}

TEST(ModelIdentityTest, TellsCheckpointsAndSettingsApart) {
  testing::TempDir a;
  testing::TempDir b;
  const std::string weights(200000, 'w');
  for (const auto* folder : {&a, &b}) {
    folder->write("config.json", "{}");
    folder->write("model.safetensors", weights);
  }
  const ModelIdentity identity = model_identity(a.path(), "exact");
  EXPECT_EQ(identity, model_identity(b.path(), "exact"));  // a copy elsewhere
  EXPECT_EQ(identity.hex().size(), 32U);
  EXPECT_NE(identity, model_identity(a.path(), "fast"));
  b.write("config.json", "{ }");
  EXPECT_NE(identity, model_identity(b.path(), "exact"));
  b.write("config.json", "{}");
  b.write("model.safetensors", weights + "w");
  EXPECT_NE(identity, model_identity(b.path(), "exact"));
  std::string last = weights;
  last.back() = 'x';
  b.write("model.safetensors", last);
  EXPECT_NE(identity, model_identity(b.path(), "exact"));
}

}  // namespace
}  // namespace mach
