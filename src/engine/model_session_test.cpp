#include "engine/model_session.h"

#include <numeric>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mach/error.h"

#include "engine/fake_model.h"
#include "model/workspace.h"

namespace mach {
namespace {

using ::testing::ElementsAre;
using testing::FakeModel;
using ::testing::HasSubstr;
using ::testing::Pair;

class ModelSessionTest : public ::testing::Test {
 protected:
  ModelSession session(uint32_t context_length = 100, uint32_t chunk = 4) {
    return ModelSession(model, workspace, {context_length, chunk});
  }
  static std::vector<TokenId> count(TokenId first, size_t n) {
    std::vector<TokenId> ids(n);
    std::iota(ids.begin(), ids.end(), first);
    return ids;
  }
  static TokenId likeliest(const Session& s) {
    return static_cast<TokenId>(std::max_element(s.logits().begin(), s.logits().end()) - s.logits().begin());
  }
  template <class Call>
  static std::pair<ErrorCode, std::string> error_of(Call call) {
    try {
      call();
    } catch (const Error& e) {
      return {e.code(), e.what()};
    }
    return {ErrorCode::kInternal, "no error"};
  }

  FakeModel model{50};
  ThreadPool pool{1};
  Workspace workspace{pool, *kernel_sets().back()};
};

TEST_F(ModelSessionTest, PromptGoesInChunksAndOnlyTheLastAsksForLogits) {
  ModelSession s = session();
  EXPECT_TRUE(s.logits().empty());
  s.append(count(1, 10));
  EXPECT_THAT(model.passes, ElementsAre(FakeModel::PassRecord{4, LogitsWanted::kNone},
                                        FakeModel::PassRecord{4, LogitsWanted::kNone},
                                        FakeModel::PassRecord{2, LogitsWanted::kLast}));
  EXPECT_EQ(s.logits().size(), 50U);
  EXPECT_EQ(likeliest(s), 11);
  s.append(count(20, 1));
  EXPECT_EQ(likeliest(s), 21);
  EXPECT_EQ(s.tokens().size(), 11U);
}

TEST_F(ModelSessionTest, ProgressSeesEveryChunkAndCanStop) {
  ModelSession s = session();
  std::vector<std::pair<uint32_t, uint32_t>> calls;
  s.append(count(1, 9), [&](uint32_t done, uint32_t total) {
    calls.emplace_back(done, total);
    return true;
  });
  EXPECT_THAT(calls, ElementsAre(Pair(0U, 9U), Pair(4U, 9U), Pair(8U, 9U), Pair(9U, 9U)));

  ModelSession stopped = session();
  const auto [code, what] =
      error_of([&] { stopped.append(count(1, 9), [](uint32_t done, uint32_t) { return done < 8; }); });
  EXPECT_EQ(code, ErrorCode::kCancelled);
  EXPECT_EQ(what, "prompt processing stopped at token 8 of 9");
  EXPECT_EQ(stopped.tokens().size(), 8U);  // whole chunks
  EXPECT_TRUE(stopped.logits().empty());
  stopped.append(count(9, 1));  // and it can go on
  EXPECT_EQ(likeliest(stopped), 10);
}

TEST_F(ModelSessionTest, RefusesIdsAndLengthsWithoutTouchingTheState) {
  ModelSession s = session(10);
  s.append(count(1, 8));
  const size_t passes = model.passes.size();
  const auto high = error_of([&] { s.append(std::vector<TokenId>{1, 50}); });
  EXPECT_EQ(high.first, ErrorCode::kInvalidRequest);
  EXPECT_EQ(high.second, "token 1: id 50 is outside the vocabulary [0, 50)");
  EXPECT_EQ(error_of([&] { s.append(std::vector<TokenId>{-1}); }).first, ErrorCode::kInvalidRequest);
  const auto over = error_of([&] { s.append(count(1, 3)); });
  EXPECT_EQ(over.first, ErrorCode::kTooLarge);
  EXPECT_THAT(over.second, HasSubstr("context length of 10"));
  EXPECT_EQ(model.passes.size(), passes);
  EXPECT_EQ(likeliest(s), 9);
  s.append(count(9, 2));
  EXPECT_EQ(s.tokens().size(), 10U);
}

TEST_F(ModelSessionTest, AFailedPassLeavesTheLastWholeChunk) {
  model.fail_in_pass = 2;
  ModelSession s = session();
  EXPECT_EQ(error_of([&] { s.append(count(1, 10)); }).first, ErrorCode::kIo);
  EXPECT_EQ(s.tokens().size(), 8U);
  EXPECT_TRUE(s.logits().empty());
  model.fail_in_pass = -1;
  s.append(count(9, 2));
  EXPECT_EQ(likeliest(s), 11);
}

TEST_F(ModelSessionTest, TruncateGoesAsFarAsTheCaches) {
  ModelSession s = session();
  s.append(count(1, 6));
  EXPECT_FALSE(s.truncate(7));
  EXPECT_TRUE(s.truncate(6));
  EXPECT_FALSE(s.logits().empty());
  EXPECT_TRUE(s.truncate(2));
  EXPECT_THAT(s.tokens(), ElementsAre(1, 2));
  EXPECT_TRUE(s.logits().empty());

  model.can_truncate = false;
  ModelSession fixed = session();
  fixed.append(count(1, 6));
  EXPECT_FALSE(fixed.truncate(5));
  EXPECT_EQ(fixed.tokens().size(), 6U);
  EXPECT_FALSE(fixed.logits().empty());
  EXPECT_TRUE(fixed.truncate(0));
  EXPECT_EQ(fixed.state_bytes(), 0U);
}

TEST_F(ModelSessionTest, ScoringHandsOutEveryRowOnce) {
  ModelSession s = session();
  std::vector<TokenId> next;
  s.append_scored(count(1, 10), [&](uint32_t first, std::span<const float> rows) {
    EXPECT_EQ(first, next.size());
    for (; !rows.empty(); rows = rows.subspan(50)) {
      const auto row = rows.first(50);
      next.push_back(static_cast<TokenId>(std::max_element(row.begin(), row.end()) - row.begin()));
    }
  });
  EXPECT_EQ(next, count(2, 10));
  EXPECT_EQ(likeliest(s), 11);
}

}  // namespace
}  // namespace mach
