#include "arch/registry.h"

#include <set>

#include <gtest/gtest.h>

#include "arch/catalog_for_test.h"
#include "arch/model_bytes.h"

namespace mach {
namespace {

TEST(Registry, ModelTypesAreUniqueAndFindTheirRow) {
  std::set<std::string_view> seen;
  for (const ArchRow& row : arch_rows()) {
    EXPECT_EQ(&arch_row(row.family), &row);
    EXPECT_EQ(find_arch(row.model_type), &row);
    for (const std::string_view type : row.model_types) {
      EXPECT_TRUE(seen.insert(type).second) << type;
      EXPECT_EQ(find_arch(type), &row);
    }
  }
  EXPECT_EQ(find_arch("qwen3"), nullptr);
  EXPECT_EQ(find_arch(""), nullptr);
  EXPECT_EQ(find_arch("deepseek_v41"), nullptr);
}

// The facts that the table of architectures shows.
TEST(Registry, Facts) {
  EXPECT_EQ(arch_row(Family::kQwen3Moe).swiglu, "plain_swiglu");
  EXPECT_EQ(arch_row(Family::kGemma4).swiglu, "plain_geglu");
  EXPECT_EQ(arch_row(Family::kDeepSeekV4).swiglu, "silu_limited");
  EXPECT_EQ(kv_cache_kind_name(arch_row(Family::kQwen3_5Moe).kv_cache_kind), "hybrid_gdn");
  EXPECT_EQ(kv_cache_kind_name(arch_row(Family::kGptOss).kv_cache_kind), "rotating");
  EXPECT_EQ(kv_cache_kind_name(arch_row(Family::kDeepSeekV4).kv_cache_kind), "compressed");
  EXPECT_EQ(arch_row(Family::kDeepSeekV4).specdec_kind, "mtp_eagle3");
  for (const ArchRow& row : arch_rows()) {
    EXPECT_EQ(row.stacked, row.family != Family::kDeepSeekV4) << row.model_type;
    EXPECT_EQ(row.expert_bias, row.family == Family::kGptOss) << row.model_type;
    EXPECT_EQ(row.wrapped, row.family == Family::kQwen3_5Moe || row.family == Family::kGemma4)
        << row.model_type;
  }
}

// What a row says in words is what its parser finds in a published config.
TEST(Registry, RowsAgreeWithTheParsers) {
  const std::pair<Family, const char*> published[] = {{Family::kQwen3Moe, "qwen3-30b-a3b"},
                                                      {Family::kQwen3_5Moe, "qwen3.6-35b-a3b"},
                                                      {Family::kGptOss, "gpt-oss-20b"},
                                                      {Family::kGemma4, "gemma-4-26b-a4b"},
                                                      {Family::kDeepSeekV4, "deepseek-v4-flash"}};
  const std::map<std::string_view, ActivationKind> activations = {
      {"plain_swiglu", ActivationKind::kPlainSwiglu},
      {"silu_limited", ActivationKind::kSiluLimited},
      {"plain_geglu", ActivationKind::kPlainGeglu},
      {"clamped_swiglu", ActivationKind::kClampedSwiglu}};
  for (const auto& [family, name] : published) {
    const nlohmann::json json = testing::published_config(name);
    const ModelConfig config = parse_model_config(json, name);
    const ArchRow& row = arch_row(family);
    EXPECT_EQ(config.family, family);
    EXPECT_EQ(config.activation.kind, activations.at(row.swiglu)) << name;
    EXPECT_EQ(config.moe.expert_bias, row.expert_bias) << name;
    EXPECT_EQ(json.contains("text_config"), row.wrapped) << name;
    const KvBytes kv = kv_bytes(config, KvElement::kBF16);
    EXPECT_EQ(kv.windows > 0,
              row.kv_cache_kind == KvCacheKind::kRotating || row.kv_cache_kind == KvCacheKind::kCompressed)
        << name;
    EXPECT_EQ(kv.state > 0,
              row.kv_cache_kind == KvCacheKind::kHybridGdn || row.kv_cache_kind == KvCacheKind::kCompressed)
        << name;
  }
}

TEST(Registry, NearestName) {
  EXPECT_THAT(known_model_types("gpt-oss"), ::testing::HasSubstr("nearest: gpt_oss"));
  EXPECT_THAT(known_model_types("gemma3"), ::testing::HasSubstr("nearest: gemma4"));
  EXPECT_THAT(known_model_types(std::string(1000, 'a')), ::testing::Not(::testing::HasSubstr("nearest")));
}

}  // namespace
}  // namespace mach
