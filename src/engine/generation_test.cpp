#include "engine/generation.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mach/error.h"

#include "engine/fake_model.h"
#include "engine/generate.h"
#include "engine/model_session.h"
#include "model/workspace.h"
#include "support/shared_dir.h"

namespace mach {
namespace {

using ::testing::ElementsAre;
using testing::FakeModel;
using ::testing::HasSubstr;

class GenerationTest : public ::testing::Test {
 protected:
  GenerationParams params() const {
    GenerationParams p;
    p.vocabulary = static_cast<uint32_t>(tokenizer.vocab_size());
    return p;
  }
  std::vector<TokenId> encode(std::string_view text) const { return tokenizer.encode(text); }
  TokenId id(std::string_view token) const { return tokenizer.token_to_id(token).value(); }

  // Makes the generation choose these tokens, until it finishes.
  std::vector<GenerationStep> feed(Generation& generation, std::span<const TokenId> ids) const {
    std::vector<GenerationStep> steps;
    for (const TokenId next : ids) {
      std::vector<float> logits(tokenizer.vocab_size(), 0);
      logits[static_cast<size_t>(next)] = 9;
      steps.push_back(generation.next(logits));
      if (steps.back().finish) break;
    }
    return steps;
  }
  static std::string text_of(const std::vector<GenerationStep>& steps) {
    std::string text;
    for (const GenerationStep& step : steps) {
      for (const TextPiece& piece : step.pieces) text += piece.text;
    }
    return text;
  }

  Tokenizer tokenizer =
      Tokenizer::open(testing::source_dir() / "models/mini-qwen3_moe-mlx-4bit/tokenizer.json");
};

TEST_F(GenerationTest, EveryTokenIsOnePieceWithItsText) {
  Generation g(tokenizer, params(), {});
  const auto ids = encode("The capital of France");
  const auto steps = feed(g, ids);
  ASSERT_EQ(steps.size(), ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    ASSERT_EQ(steps[i].pieces.size(), 1U);
    EXPECT_EQ(steps[i].pieces[0].token.id, ids[i]);
  }
  EXPECT_EQ(text_of(steps), "The capital of France");
  EXPECT_FALSE(g.finish_reason());
}

TEST_F(GenerationTest, StopTokenCountsAndLeavesNoText) {
  GenerationParams p = params();
  p.stop_ids = {id("<|im_end|>")};
  Generation g(tokenizer, p, {});
  auto ids = encode("Paris.");
  ids.push_back(id("<|im_end|>"));
  ids.push_back(5);
  const auto steps = feed(g, ids);
  EXPECT_EQ(text_of(steps), "Paris.");
  EXPECT_EQ(steps.back().finish, FinishReason::kStop);
  EXPECT_EQ(g.tokens().size(), ids.size() - 1);
  EXPECT_FALSE(g.matched_stop());
}

TEST_F(GenerationTest, StopStringInsideATokenCutsIt) {
  GenerationParams p = params();
  p.stop = {"ance i"};
  Generation g(tokenizer, p, {});
  const auto steps = feed(g, encode("capital of France is Paris"));
  EXPECT_EQ(text_of(steps), "capital of Fr");
  EXPECT_EQ(steps.back().finish, FinishReason::kStop);
  EXPECT_EQ(g.matched_stop(), "ance i");
  EXPECT_EQ(steps.back().pieces.back().token.id, -1);  // a part of " France"
}

TEST_F(GenerationTest, HeldPiecesComeWithTheirOwnTokens) {
  GenerationParams p = params();
  p.stop = {"\n\nUser"};
  Generation g(tokenizer, p, {});
  std::vector<TokenId> ids = {id("Ċ"), id("<tool_call>"), id("Ċ")};
  const auto steps = feed(g, ids);
  EXPECT_TRUE(steps[0].pieces.empty());
  ASSERT_EQ(steps[1].pieces.size(), 2U);
  EXPECT_EQ(steps[1].pieces[0].token.id, ids[0]);
  EXPECT_EQ(steps[1].pieces[0].text, "\n");
  EXPECT_EQ(steps[1].pieces[1].token.id, ids[1]);
  EXPECT_EQ(steps[1].pieces[1].text, "<tool_call>");
  const auto rest = g.end(FinishReason::kCancelled);
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_EQ(rest[0].text, "\n");
  EXPECT_EQ(g.finish_reason(), FinishReason::kCancelled);
}

TEST_F(GenerationTest, LengthReleasesEverythingHeldBack) {
  GenerationParams p = params();
  p.stop = {"France is not"};
  p.max_tokens = 3;
  Generation g(tokenizer, p, {});
  const auto ids = encode("France is Paris");
  const auto steps = feed(g, ids);
  ASSERT_EQ(steps.size(), 3U);
  EXPECT_EQ(steps.back().finish, FinishReason::kLength);
  EXPECT_EQ(text_of(steps), tokenizer.decode(std::span(ids).first(3)));
}

TEST_F(GenerationTest, SplitCharactersComeWholeAndABrokenOneIsReplaced) {
  const auto ids = encode("こ");
  ASSERT_GT(ids.size(), 1U);
  Generation g(tokenizer, params(), {});
  const auto steps = feed(g, ids);
  for (size_t i = 0; i + 1 < steps.size(); ++i) EXPECT_EQ(steps[i].pieces.at(0).text, "");
  EXPECT_EQ(steps.back().pieces.at(0).text, "こ");
  Generation broken(tokenizer, params(), {});
  feed(broken, std::span(ids).first(1));
  const auto rest = broken.end(FinishReason::kLength);
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_EQ(rest[0].text, "\xEF\xBF\xBD");
  EXPECT_EQ(rest[0].token.id, -1);
}

TEST_F(GenerationTest, RefusesWrongParameters) {
  GenerationParams p = params();
  p.max_tokens = 0;
  EXPECT_THROW(Generation(tokenizer, p, {}), Error);
  p = params();
  p.stop = {""};
  EXPECT_THROW(Generation(tokenizer, p, {}), Error);
  p = params();
  p.sampling.top_p = 2;
  EXPECT_THROW(Generation(tokenizer, p, {}), Error);
}

class GenerateTest : public GenerationTest {
 protected:
  ModelSession session(uint32_t context = 64) { return ModelSession(model, workspace, {context, 8}); }

  FakeModel model{4096};
  ThreadPool pool{1};
  Workspace workspace{pool, *kernel_sets().back()};
};

TEST_F(GenerateTest, RunsUntilAStopToken) {
  ModelSession s = session();
  GenerationParams p = params();
  p.stop_ids = {20};
  const GenerationResult r = generate(s, tokenizer, std::vector<TokenId>{10, 15}, p);
  EXPECT_THAT(r.tokens, ElementsAre(16, 17, 18, 19, 20));
  EXPECT_EQ(r.finish, FinishReason::kStop);
  EXPECT_EQ(r.prompt_tokens, 2U);
  EXPECT_EQ(r.text, tokenizer.decode(std::vector<TokenId>{16, 17, 18, 19}));
  EXPECT_THAT(s.tokens(), ElementsAre(10, 15, 16, 17, 18, 19));  // the stop token needs no pass
}

TEST_F(GenerateTest, EndsWithTheContext) {
  ModelSession s = session(6);
  const GenerationResult r = generate(s, tokenizer, std::vector<TokenId>{1, 2, 3, 40}, params());
  EXPECT_THAT(r.tokens, ElementsAre(41, 42, 43));
  EXPECT_EQ(r.finish, FinishReason::kLength);
  try {
    generate(s, tokenizer, std::vector<TokenId>(7, 1), params());
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kTooLarge);
    EXPECT_STREQ(e.what(), "prompt: 7 tokens exceed the context length of 6");
  }
  EXPECT_THROW(generate(s, tokenizer, {}, params()), Error);
}

TEST_F(GenerateTest, KeepsThePrefixThatTheSessionHolds) {
  ModelSession s = session();
  GenerationParams p = params();
  p.max_tokens = 2;
  generate(s, tokenizer, std::vector<TokenId>{1, 2, 3}, p);
  model.passes.clear();
  const GenerationResult longer = generate(s, tokenizer, std::vector<TokenId>{1, 2, 3, 4, 9}, p);
  EXPECT_EQ(longer.reused_tokens, 4U);  // 4 was generated and appended
  EXPECT_EQ(model.passes.front().tokens, 1U);
  EXPECT_EQ(generate(s, tokenizer, std::vector<TokenId>{1, 2}, p).reused_tokens,
            1U);  // logits of 2 are wanted

  model.can_truncate = false;
  ModelSession fixed = session();
  generate(fixed, tokenizer, std::vector<TokenId>{1, 2, 3}, p);
  EXPECT_EQ(generate(fixed, tokenizer, std::vector<TokenId>{1, 2, 7}, p).reused_tokens, 0U);
}

TEST_F(GenerateTest, CallbacksStopPromptAndDecode) {
  ModelSession s = session();
  GenerationCallbacks callbacks;
  callbacks.prefill = [](uint32_t done, uint32_t) { return done < 8; };
  const GenerationResult none = generate(s, tokenizer, std::vector<TokenId>(20, 5), params(), callbacks);
  EXPECT_EQ(none.finish, FinishReason::kCancelled);
  EXPECT_TRUE(none.tokens.empty());

  int steps = 0;
  callbacks.prefill = {};
  callbacks.step = [&](const GenerationStep&) { return ++steps < 3; };
  const GenerationResult some = generate(s, tokenizer, std::vector<TokenId>{5}, params(), callbacks);
  EXPECT_EQ(some.finish, FinishReason::kCancelled);
  EXPECT_THAT(some.tokens, ElementsAre(6, 7, 8));
  EXPECT_EQ(some.text, tokenizer.decode(some.tokens));
}

}  // namespace
}  // namespace mach
