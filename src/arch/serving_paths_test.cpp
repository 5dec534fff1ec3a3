#include "arch/serving_paths.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mach {
namespace {

using ::testing::HasSubstr;

PathFacts facts_of(Family family) {
  return {.arch = &arch_row(family),
          .checkpoint = true,
          .layout = ExpertLayout::kStacked,
          .float_experts = false,
          .tokenizer = true};
}

// The gate's own answer, whether this version has the code or not.
PathStatus gate(ServingPath path, const PathFacts& facts) { return serving_path(path).gate(facts).status; }

TEST(ServingPaths, KeepTheirPublishedNamesAndOrder) {
  std::vector<std::string_view> names;
  for (const ServingPathRow& row : serving_paths()) names.push_back(row.name);
  EXPECT_THAT(names,
              ::testing::ElementsAre("openai_http", "expert_streaming", "resident_stacked", "bf16_streaming",
                                     "gguf_experts_2bit", "specdec", "continuous_batching", "turboquant_kv",
                                     "prefix_kv_reuse", "native_tool_grammar"));
}

TEST(ServingPaths, WhatIsNotBuiltIsBlockedAndSaysSo) {
  for (const ServingPathRow& row : serving_paths()) {
    if (row.built) continue;
    for (const ArchRow& arch : arch_rows()) {
      const PathVerdict verdict = path_verdict(row.path, {.arch = &arch});
      if (verdict.status == PathStatus::kNotApplicable) continue;
      EXPECT_EQ(path_status_name(verdict.status), "blocked") << row.name;
      EXPECT_THAT(verdict.reason, ::testing::StartsWith("not built in this version")) << row.name;
      EXPECT_THAT(verdict.reason, HasSubstr(std::string(row.instead))) << row.name;
    }
  }
}

TEST(ServingPaths, EveryCellHasAReasonOfOneLine) {
  for (const ServingPathRow& row : serving_paths()) {
    for (const ArchRow& arch : arch_rows()) {
      for (const bool checkpoint : {false, true}) {
        const PathVerdict verdict = row.gate({.arch = &arch, .checkpoint = checkpoint});
        EXPECT_FALSE(verdict.reason.empty()) << row.name << " " << arch.model_type;
        EXPECT_THAT(verdict.reason, ::testing::Not(HasSubstr("\n")));
      }
    }
  }
}

TEST(ServingPaths, TextNeedsATokenizer) {
  PathFacts facts = facts_of(Family::kGptOss);
  EXPECT_EQ(gate(ServingPath::kOpenAiHttp, facts), PathStatus::kOk);
  facts.tokenizer = false;
  EXPECT_EQ(gate(ServingPath::kOpenAiHttp, facts), PathStatus::kNeedsArtifact);
}

TEST(ServingPaths, ToolCallsNeedATemplateThatOffersThem) {
  PathFacts facts = facts_of(Family::kQwen3Moe);
  EXPECT_EQ(gate(ServingPath::kNativeToolGrammar, facts), PathStatus::kUnknown);
  facts.chat_template = true;
  EXPECT_EQ(gate(ServingPath::kNativeToolGrammar, facts), PathStatus::kOk);
  facts.chat_template = false;
  EXPECT_EQ(gate(ServingPath::kNativeToolGrammar, facts), PathStatus::kNeedsArtifact);
  facts = {.arch = &arch_row(Family::kQwen3Moe)};
  EXPECT_EQ(gate(ServingPath::kNativeToolGrammar, facts), PathStatus::kOk);
}

TEST(ServingPaths, ExpertsOutsideTheShardsNeedTheirSidecar) {
  PathFacts facts = facts_of(Family::kQwen3Moe);
  EXPECT_EQ(gate(ServingPath::kExpertStreaming, facts), PathStatus::kOk);
  facts.layout = ExpertLayout::kSidecar;
  EXPECT_EQ(gate(ServingPath::kExpertStreaming, facts), PathStatus::kNeedsArtifact);
  facts.sidecar = true;
  EXPECT_EQ(gate(ServingPath::kExpertStreaming, facts), PathStatus::kOk);
  facts = facts_of(Family::kQwen3Moe);
  facts.layout = ExpertLayout::kNone;
  EXPECT_EQ(gate(ServingPath::kExpertStreaming, facts), PathStatus::kNotApplicable);
  facts.layout.reset();
  EXPECT_EQ(gate(ServingPath::kExpertStreaming, facts), PathStatus::kUnknown);
}

TEST(ServingPaths, Bf16StreamingIsForFloats) {
  PathFacts facts = facts_of(Family::kGemma4);
  EXPECT_EQ(gate(ServingPath::kBf16Streaming, facts), PathStatus::kNotApplicable);
  facts.float_experts = true;
  EXPECT_EQ(gate(ServingPath::kBf16Streaming, facts), PathStatus::kOk);
  facts.float_experts.reset();
  EXPECT_EQ(gate(ServingPath::kBf16Streaming, facts), PathStatus::kUnknown);
}

TEST(ServingPaths, GgufExpertsNeedTheFormatAndTheFiles) {
  PathFacts facts = facts_of(Family::kQwen3_5Moe);
  EXPECT_EQ(gate(ServingPath::kGgufExperts2Bit, facts), PathStatus::kNotApplicable);
  facts.gguf_experts = true;
  EXPECT_EQ(gate(ServingPath::kGgufExperts2Bit, facts), PathStatus::kNeedsArtifact);
  facts.sidecar = true;
  EXPECT_EQ(gate(ServingPath::kGgufExperts2Bit, facts), PathStatus::kOk);
}

TEST(ServingPaths, SpeculationNeedsItsDrafter) {
  EXPECT_EQ(gate(ServingPath::kSpecdec, facts_of(Family::kGptOss)), PathStatus::kNotApplicable);
  PathFacts facts = facts_of(Family::kQwen3_5Moe);
  EXPECT_EQ(gate(ServingPath::kSpecdec, facts), PathStatus::kNeedsArtifact);
  facts.mtp_block = true;
  EXPECT_EQ(gate(ServingPath::kSpecdec, facts), PathStatus::kOk);
  facts.draft = DraftState::kUnusable;
  facts.draft_fault = "hidden_size differs";
  const PathVerdict refused = serving_path(ServingPath::kSpecdec).gate(facts);
  EXPECT_EQ(refused.status, PathStatus::kNeedsArtifact);
  EXPECT_EQ(refused.reason, "hidden_size differs");
  facts.draft = DraftState::kUsable;
  EXPECT_EQ(gate(ServingPath::kSpecdec, facts), PathStatus::kOk);
}

TEST(ServingPaths, EveryCacheKindBatchesAndIsReused) {
  for (const ArchRow& arch : arch_rows()) {
    EXPECT_EQ(gate(ServingPath::kContinuousBatching, facts_of(arch.family)), PathStatus::kOk);
    EXPECT_EQ(gate(ServingPath::kPrefixKvReuse, facts_of(arch.family)), PathStatus::kOk);
  }
}

TEST(ServingPaths, StatusesAreTheDocumentedWords) {
  std::set<std::string_view> words;
  for (const PathStatus status : {PathStatus::kOk, PathStatus::kBlocked, PathStatus::kNeedsArtifact,
                                  PathStatus::kUnknown, PathStatus::kNotApplicable}) {
    words.insert(path_status_name(status));
  }
  EXPECT_THAT(words, ::testing::UnorderedElementsAre("ok", "blocked", "needs_artifact", "unknown", "n/a"));
}

}  // namespace
}  // namespace mach
