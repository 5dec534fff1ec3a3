// Expert sources for tests: records made up from their ids, and a wrapper that lets chosen reads go wrong.
#pragma once

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "mach/error.h"

#include "experts/expert_source.h"

namespace mach::testing {

inline std::byte made_up_byte(ExpertId id, uint64_t at) {
  return static_cast<std::byte>(id.layer * 131 + id.expert * 17 + at / 64);
}

// `sizes` has the number of experts of each layer. Records are a few KiB.
class MadeUpSource final : public ExpertSource {
 public:
  explicit MadeUpSource(const std::vector<uint32_t>& sizes, uint32_t rows = 32, uint64_t staging = 0)
      : files_({}), staging_(staging) {
    const WeightFormat format{.codec = CodecId::kMxFp4, .scale = ScaleType::kE8M0, .bits = 4, .group = 32};
    for (uint32_t layer = 0; layer < sizes.size(); ++layer) {
      if (sizes[layer] == 0) continue;
      specs_.push_back({layer, sizes[layer],
                        make_expert_record({MatrixSpec{format, rows, 64}, MatrixSpec{format, rows, 64},
                                            MatrixSpec{format, 64, rows}})});
    }
  }

  std::span<const ExpertLayerSpec> layers() const noexcept override { return specs_; }
  const ReadFiles& files() const noexcept override { return files_; }
  uint64_t staging_bytes() const noexcept override { return staging_; }
  std::string_view name() const noexcept override { return "made up"; }
  void read(ExpertId id, std::span<std::byte> record, ReadContext& /*context*/) const override {
    for (uint64_t at = 0; at < record.size(); at += 64) {
      std::memset(record.data() + at, static_cast<int>(made_up_byte(id, at)), 64);
    }
  }

 private:
  std::vector<ExpertLayerSpec> specs_;
  ReadFiles files_;
  uint64_t staging_;
};

// What happens to the reads of a source, counted over all threads.
struct ReadScript {
  std::atomic<int> reads{0};
  std::atomic<int> fail_at{-1};     // this read throws kIo
  std::atomic<int> fail_every{0};   // and every n-th
  std::atomic<int> corrupt_at{-1};  // this one delivers a changed byte
  std::atomic<int> short_at{-1};    // this one delivers half a record and throws
  std::atomic<int> delay_us{0};     // each takes so much longer
  // A record that fails or comes short once goes on doing so: reading ahead that goes wrong is tried again by who needs it.
  std::atomic<bool> stubborn{false};
  std::atomic<int64_t> bad_record{-1};  // that record, -1: none so far
  std::atomic<bool> bad_is_short{false};
  std::function<void(ExpertId)> before;
};

class ScriptedSource final : public ExpertSource {
 public:
  ScriptedSource(std::unique_ptr<ExpertSource> inner, std::shared_ptr<ReadScript> script)
      : inner_(std::move(inner)), script_(std::move(script)) {}

  std::span<const ExpertLayerSpec> layers() const noexcept override { return inner_->layers(); }
  const ReadFiles& files() const noexcept override { return inner_->files(); }
  uint64_t staging_bytes() const noexcept override { return inner_->staging_bytes(); }
  std::string_view name() const noexcept override { return inner_->name(); }
  void read(ExpertId id, std::span<std::byte> record, ReadContext& context) const override {
    const int number = script_->reads++;
    if (script_->before) script_->before(id);
    if (script_->delay_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(script_->delay_us));
    const int every = script_->fail_every;
    const auto key = static_cast<int64_t>(uint64_t{id.layer} << 32 | id.expert);
    const bool bad = script_->bad_record == key;
    const bool fails = number == script_->fail_at || (every > 0 && number % every == every - 1) ||
                       (bad && !script_->bad_is_short);
    const bool too_short = number == script_->short_at || (bad && script_->bad_is_short);
    if (script_->stubborn && (fails || too_short)) {
      script_->bad_is_short = too_short;
      script_->bad_record = key;
    }
    if (fails) throw Error(ErrorCode::kIo, to_string(id) + ": scripted failure");
    inner_->read(id, record, context);
    if (number == script_->corrupt_at) record[record.size() / 3] ^= std::byte{1};
    if (too_short) {
      std::fill(record.begin() + static_cast<std::ptrdiff_t>(record.size() / 2), record.end(),
                std::byte{0xee});
      throw Error(ErrorCode::kIo, to_string(id) + ": the file ends too soon");
    }
  }

 private:
  std::unique_ptr<ExpertSource> inner_;
  std::shared_ptr<ReadScript> script_;
};

}  // namespace mach::testing
