// A Model without weights for tests of what stands above it. It reads off the next token: after token t, t + 1 has the
// largest logit, modulo the vocabulary. It keeps a log of its passes and can be told to fail or to be unable to truncate.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "mach/error.h"

#include "model/model.h"

namespace mach::testing {

class FakeCache final : public LayerCache {
 public:
  explicit FakeCache(bool can_truncate) : can_truncate_(can_truncate) {}
  void commit() noexcept override {}
  void discard() noexcept override {}
  uint32_t length() const noexcept override { return length_; }
  uint32_t truncatable_to() const noexcept override { return can_truncate_ ? 0 : length_; }
  void truncate(uint32_t length) override { length_ = length; }
  std::unique_ptr<LayerSnapshot> snapshot() const override { return nullptr; }
  void restore(const LayerSnapshot&) override {}
  uint64_t bytes() const noexcept override { return length_; }
  void save(StateWriter&) const override {}
  void load(StateReader&) override {}
  void grow(uint32_t tokens) { length_ += tokens; }

 private:
  bool can_truncate_;
  uint32_t length_ = 0;
};

class FakeModel final : public Model {
 public:
  struct PassRecord {
    uint32_t tokens;
    LogitsWanted logits;
    bool operator==(const PassRecord&) const = default;
  };

  explicit FakeModel(uint32_t vocabulary) { config_.vocab_size = vocabulary; }

  bool can_truncate = true;
  int fail_in_pass = -1;  // number of the pass that throws
  mutable std::vector<PassRecord> passes;

  const ModelConfig& config() const noexcept override { return config_; }
  std::unique_ptr<SequenceState> new_state() const override {
    std::vector<std::unique_ptr<LayerCache>> layers;
    layers.push_back(std::make_unique<FakeCache>(can_truncate));
    return std::make_unique<SequenceState>(std::move(layers));
  }
  void forward(Workspace&, std::span<const SequenceStep> steps, std::span<float> logits) const override {
    if (static_cast<int>(passes.size()) == fail_in_pass) throw Error(ErrorCode::kIo, "expert 3 of layer 1");
    size_t row = 0;
    const auto put_row = [&](TokenId token) {
      const auto out = logits.subspan(row++ * config_.vocab_size, config_.vocab_size);
      std::fill(out.begin(), out.end(), 0.0F);
      out[static_cast<size_t>(token + 1) % config_.vocab_size] = 10;
    };
    for (const SequenceStep& step : steps) {
      passes.push_back({static_cast<uint32_t>(step.tokens.size()), step.logits});
      step.state->layer<FakeCache>(0).grow(static_cast<uint32_t>(step.tokens.size()));
      if (step.logits == LogitsWanted::kLast) put_row(step.tokens.back());
      if (step.logits != LogitsWanted::kAll) continue;
      for (const TokenId token : step.tokens) put_row(token);
    }
  }

 private:
  ModelConfig config_;
};

}  // namespace mach::testing
