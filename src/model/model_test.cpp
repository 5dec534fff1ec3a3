// What Model promises whatever the family: how it opens, what it refuses, and that a refused pass changes nothing.
#include "model/model.h"

#include <string>

#include <gmock/gmock.h>

#include "mach/error.h"

#include "support/golden.h"
#include "support/shared_dir.h"
#include "support/temp_dir.h"

namespace mach::testing {
namespace {

using ::testing::HasSubstr;

ErrorCode code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "no error";
  return ErrorCode::kInternal;
}

TEST(ModelOpen, AFolderWithoutConfigIsNotFound) {
  const TempDir dir;
  EXPECT_EQ(code_of([&] { Model::open(dir.path(), {}); }), ErrorCode::kNotFound);
}

// The demo checkpoint that the source tree ships.
class DemoModel : public ::testing::Test {
 protected:
  static std::filesystem::path folder() { return source_dir() / "models" / "mini-qwen3_moe-mlx-4bit"; }

  ErrorCode refusal(std::vector<SequenceStep> steps, size_t logits = 1U << 20) {
    std::vector<float> out(logits);
    return code_of([&] { loaded.model->forward(loaded.workspace, steps, out); });
  }

  LoadedModel loaded{folder(), Numerics::kExact, 2};
};

TEST_F(DemoModel, AgreesWithTheReference) { check_mini(folder(), 1e-4); }

TEST_F(DemoModel, RefusesStepsThatMakeNoSense) {
  const auto state = loaded.model->new_state();
  const TokenIds good = {1, 2, 3};
  append_all(loaded, *state, good);
  const TokenIds unknown = {1, static_cast<int32_t>(loaded.vocab_size())};
  const TokenIds negative = {-1};
  EXPECT_EQ(refusal({{state.get(), unknown}}), ErrorCode::kInvalidRequest);
  EXPECT_EQ(refusal({{state.get(), negative}}), ErrorCode::kInvalidRequest);
  EXPECT_EQ(refusal({{state.get(), {}}}), ErrorCode::kInvalidRequest);
  EXPECT_EQ(refusal({{nullptr, good}}), ErrorCode::kInternal);
  EXPECT_EQ(refusal({{state.get(), good}, {state.get(), good}}), ErrorCode::kInternal);
  EXPECT_EQ(refusal({{state.get(), good}}, loaded.vocab_size() - 1), ErrorCode::kInternal);
  EXPECT_EQ(state->length(), 3U);
}

TEST_F(DemoModel, WritesOnlyTheWantedRows) {
  const auto a = loaded.model->new_state();
  const auto b = loaded.model->new_state();
  const auto c = loaded.model->new_state();
  const TokenIds ids = {5, 6, 7};
  const std::vector<SequenceStep> steps = {{a.get(), ids, LogitsWanted::kNone},
                                           {b.get(), ids, LogitsWanted::kLast},
                                           {c.get(), ids, LogitsWanted::kAll}};
  const size_t vocab = loaded.vocab_size();
  ASSERT_EQ(Model::logits_rows(steps), 4U);
  std::vector<float> logits(5 * vocab, 123.0F);
  loaded.model->forward(loaded.workspace, steps, logits);
  const auto row = [&](size_t i) { return std::span(logits).subspan(i * vocab, vocab); };
  EXPECT_EQ(difference(row(0), row(3)).largest, 0);
  EXPECT_GT(difference(row(1), row(2)).largest, 0);
  EXPECT_EQ(row(4)[0], 123.0F);
  for (const auto* state : {a.get(), b.get(), c.get()}) EXPECT_EQ(state->length(), 3U);
}

TEST_F(DemoModel, SteadyDecodingTakesNoMoreScratchMemory) {
  const auto state = loaded.model->new_state();
  const TokenIds prompt(200, 9);
  append_all(loaded, *state, prompt);
  append_all(loaded, *state, {{1}});
  const size_t before = loaded.workspace.arena().bytes();
  for (int i = 0; i < 50; ++i) append_all(loaded, *state, {{1}});
  EXPECT_EQ(loaded.workspace.arena().bytes(), before);
}

TEST_F(DemoModel, SequencesShareTheBlocksOfACommonPrefix) {
  const auto first = loaded.model->new_state();
  append_all(loaded, *first, TokenIds(130, 7));
  const StateSnapshot prefix = first->snapshot();
  EXPECT_EQ(prefix.bytes(), 0U);
  const auto second = loaded.model->new_state();
  second->restore(prefix);
  const auto continued = append_all(loaded, *second, {{11, 12}});
  EXPECT_EQ(difference(append_all(loaded, *first, {{11, 12}}), continued).largest, 0);
}

}  // namespace
}  // namespace mach::testing
