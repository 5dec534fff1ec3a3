#include "support/provider_checks.h"

#include <memory>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mach/error.h"

#include "experts/expert_provider.h"
#include "model/families/family.h"
#include "support/golden.h"

namespace mach::testing {
namespace {

// Shared by a provider inside a model and the test outside.
struct Script {
  uint32_t max_lease = 1U << 30;
  int fail_at = -1;  // number of the acquire that throws
  int acquired = 0;
};

class ScriptedProvider final : public ExpertProvider {
 public:
  ScriptedProvider(std::unique_ptr<ExpertProvider> inner, std::shared_ptr<Script> script)
      : inner_(std::move(inner)), script_(std::move(script)) {}

  ExpertLease acquire(uint32_t layer, std::span<const uint32_t> experts, ExpertUse use) override {
    EXPECT_LE(experts.size(), max_lease(layer));
    if (script_->acquired++ == script_->fail_at) throw Error(ErrorCode::kIo, "scripted failure");
    return inner_->acquire(layer, experts, use);
  }
  uint32_t max_lease(uint32_t layer) const noexcept override {
    return std::min(script_->max_lease, inner_->max_lease(layer));
  }
  void prefetch(uint32_t layer, std::span<const uint32_t> experts, PrefetchHint hint) noexcept override {
    inner_->prefetch(layer, experts, hint);
  }

 private:
  std::unique_ptr<ExpertProvider> inner_;
  std::shared_ptr<Script> script_;
};

LoadedModel open_scripted(const std::filesystem::path& folder, const std::shared_ptr<Script>& script) {
  ModelParts parts = open_model_parts(folder, {.numerics = Numerics::kExact});
  parts.experts = std::make_unique<ScriptedProvider>(std::move(parts.experts), script);
  return {make_model(std::move(parts)), 1};
}

TokenIds some_ids(const LoadedModel& loaded, size_t count) {
  TokenIds ids(count);
  for (size_t i = 0; i < count; ++i) ids[i] = static_cast<int32_t>((i * i + 3 * i + 7) % loaded.vocab_size());
  return ids;
}

}  // namespace

void check_waves(const std::filesystem::path& folder) {
  SCOPED_TRACE(folder.filename().string());
  const auto script = std::make_shared<Script>();
  LoadedModel loaded = open_scripted(folder, script);
  const TokenIds ids = some_ids(loaded, 70);
  const auto wanted = logits_of(loaded, ids, {40, 1});
  const int whole = std::exchange(script->acquired, 0);
  for (const uint32_t size : {1U, 3U}) {
    script->max_lease = size;
    EXPECT_EQ(difference(logits_of(loaded, ids, {40, 1}), wanted).largest, 0) << "leases of " << size;
    EXPECT_GT(std::exchange(script->acquired, 0), whole);
  }
}

void check_failed_reads(const std::filesystem::path& folder) {
  SCOPED_TRACE(folder.filename().string());
  const auto script = std::make_shared<Script>();
  LoadedModel loaded = open_scripted(folder, script);
  // The chunk is longer than any window of a nano checkpoint and its rollback.
  const TokenIds ids = some_ids(loaded, 260);
  const auto begin = std::span<const int32_t>(ids).first(100);
  const auto chunk = std::span<const int32_t>(ids).subspan(100);

  const auto straight = loaded.model->new_state();
  append_all(loaded, *straight, begin);
  script->acquired = 0;
  const auto wanted = append_all(loaded, *straight, chunk);
  const int acquires = script->acquired;
  ASSERT_GT(acquires, 0);

  const auto state = loaded.model->new_state();
  append_all(loaded, *state, begin);
  for (int failing = 0; failing < acquires; ++failing) {
    script->acquired = 0;
    script->fail_at = failing;
    EXPECT_THROW(append_all(loaded, *state, chunk), Error) << failing;
    ASSERT_EQ(state->length(), begin.size()) << failing;
  }
  script->fail_at = -1;
  EXPECT_EQ(difference(append_all(loaded, *state, chunk), wanted).largest, 0);
}

}  // namespace mach::testing
