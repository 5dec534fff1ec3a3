// A Model without weights for tests of what stands above it. Which token has the largest logit is a function of all
// tokens so far, so that a state with a wrong past shows; unless a test sets `next`, it is t + 1 after token t, modulo the
// vocabulary. It keeps a log of its passes and can be told to fail, to be slow, or to be unable to truncate.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "mach/error.h"

#include "model/model.h"
#include "model/state_io.h"

namespace mach::testing {

// Remembers the tokens themselves.
class FakeCache final : public LayerCache {
 public:
  explicit FakeCache(bool can_truncate) : can_truncate_(can_truncate) {}

  void stage(std::span<const int32_t> tokens) { staged_.assign(tokens.begin(), tokens.end()); }
  std::span<const int32_t> tokens() const noexcept { return tokens_; }

  void commit() noexcept override {
    tokens_.insert(tokens_.end(), staged_.begin(), staged_.end());
    staged_.clear();
  }
  void discard() noexcept override { staged_.clear(); }
  uint32_t length() const noexcept override { return static_cast<uint32_t>(tokens_.size()); }
  uint32_t truncatable_to() const noexcept override { return can_truncate_ ? 0 : length(); }
  bool keeps_every_position() const noexcept override { return can_truncate_; }
  void truncate(uint32_t length) override { tokens_.resize(length); }
  std::unique_ptr<LayerSnapshot> snapshot() const override {
    auto copy = std::make_unique<Snapshot>();
    copy->tokens = tokens_;
    copy->can_truncate = can_truncate_;
    return copy;
  }
  void restore(const LayerSnapshot& snapshot) override {
    tokens_ = dynamic_cast<const Snapshot&>(snapshot).tokens;
  }
  uint64_t bytes() const noexcept override { return tokens_.size(); }
  void save(StateWriter& writer) const override {
    writer.number(tokens_.size());
    writer.bytes(std::as_bytes(std::span(tokens_)));
  }
  void load(StateReader& reader) override {
    tokens_.resize(reader.count(sizeof(int32_t), "fake tokens"));
    const auto bytes = reader.bytes(tokens_.size() * sizeof(int32_t), "fake tokens");
    std::copy(bytes.begin(), bytes.end(), std::as_writable_bytes(std::span(tokens_)).begin());
  }

 private:
  struct Snapshot final : LayerSnapshot {
    std::vector<int32_t> tokens;
    bool can_truncate = true;
    uint64_t bytes() const noexcept override { return tokens.size() * sizeof(int32_t); }
    uint32_t truncatable_to() const noexcept override {
      return can_truncate ? 0 : static_cast<uint32_t>(tokens.size());
    }
    void visit_memory(FunctionRef<void(const void*, uint64_t)> visit) const override { visit(this, bytes()); }
  };

  bool can_truncate_;
  std::vector<int32_t> tokens_, staged_;
};

class FakeModel final : public Model {
 public:
  struct PassRecord {
    uint32_t tokens;
    LogitsWanted logits;
    bool operator==(const PassRecord&) const = default;
  };

  // What comes after these tokens.
  using NextToken = std::function<int32_t(std::span<const int32_t> tokens)>;

  explicit FakeModel(uint32_t vocabulary) { config_.vocab_size = vocabulary; }

  NextToken next;
  std::chrono::microseconds pass_time{0};
  bool can_truncate = true;
  int fail_in_pass = -1;                                 // number of the pass that throws
  int32_t poisoned_token = -1;                           // every pass throws that has it among its tokens
  mutable std::vector<PassRecord> passes;                // a record per step
  mutable std::vector<std::vector<PassRecord>> batches;  // the same by pass

  const ModelConfig& config() const noexcept override { return config_; }
  std::unique_ptr<SequenceState> new_state() const override {
    std::vector<std::unique_ptr<LayerCache>> layers;
    layers.push_back(std::make_unique<FakeCache>(can_truncate));
    return std::make_unique<SequenceState>(std::move(layers));
  }
  void forward(Workspace&, std::span<const SequenceStep> steps, std::span<float> logits) const override {
    if (pass_time.count() > 0) std::this_thread::sleep_for(pass_time);
    if (static_cast<int>(passes.size()) == fail_in_pass) throw Error(ErrorCode::kIo, "expert 3 of layer 1");
    for (const SequenceStep& step : steps) {
      if (std::find(step.tokens.begin(), step.tokens.end(), poisoned_token) != step.tokens.end()) {
        throw Error(ErrorCode::kIo, "expert " + std::to_string(poisoned_token) + " of layer 1");
      }
    }
    size_t row = 0;
    batches.emplace_back();
    for (const SequenceStep& step : steps) {
      passes.push_back({static_cast<uint32_t>(step.tokens.size()), step.logits});
      batches.back().push_back(passes.back());
      for (size_t i = 0; i < step.tokens.size(); ++i) {
        FakeCache& cache = step.state->layer<FakeCache>(0);
        cache.stage(step.tokens.subspan(i, 1));
        cache.commit();
        const bool wanted = step.logits == LogitsWanted::kAll ||
                            (step.logits == LogitsWanted::kLast && i + 1 == step.tokens.size());
        if (!wanted) continue;
        const auto out = logits.subspan(row++ * config_.vocab_size, config_.vocab_size);
        std::fill(out.begin(), out.end(), 0.0F);
        const int32_t token = next ? next(cache.tokens()) : step.tokens[i] + 1;
        out[static_cast<size_t>(token) % config_.vocab_size] = 10;
      }
    }
  }

 private:
  ModelConfig config_;
};

}  // namespace mach::testing
