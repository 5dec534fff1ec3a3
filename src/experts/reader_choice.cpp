#include "experts/reader_choice.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "mach/error.h"

#include "experts/bank_size.h"

namespace mach {
namespace {

constexpr uint64_t kLeastBytes = uint64_t{256} << 20;  // of all experts; below it any reader does
constexpr std::chrono::milliseconds kStretch(60);      // of one measurement
// A later candidate must be so much better: the earlier ones take less of the processor.
constexpr double kBetter = 1.05;

struct Candidate {
  ReaderKind kind;
  uint32_t lanes;
};
// Mapped reading is never chosen.
constexpr Candidate kCandidates[] = {
    {ReaderKind::kUring, 1}, {ReaderKind::kUring, 2}, {ReaderKind::kUring, 4},
    {ReaderKind::kPread, 2}, {ReaderKind::kPread, 4}, {ReaderKind::kPread, 8},
};

// Records in random order, none twice: a second read might come from a cache.
class RandomRecords {
 public:
  explicit RandomRecords(const ExpertSource& source) {
    for (const ExpertLayerSpec& layer : source.layers()) {
      for (uint32_t expert = 0; expert < layer.experts; ++expert) ids_.push_back({layer.layer, expert});
    }
    std::minstd_rand random(1);
    std::shuffle(ids_.begin(), ids_.end(), random);
  }
  ExpertId next() noexcept { return ids_[next_++ % ids_.size()]; }

 private:
  std::vector<ExpertId> ids_;
  std::atomic<size_t> next_{0};
};

double measure(const ExpertSource& source, const Candidate& candidate, uint64_t record_bytes,
               RandomRecords& records) {
  std::atomic<uint64_t> bytes{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto start = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> lanes;
    for (uint32_t i = 0; i < candidate.lanes; ++i) {
      lanes.emplace_back([&] {
        try {
          AlignedBuffer record(record_bytes, kDirectIoAlignment);
          ReadContext context(make_reader(candidate.kind, source.files()));
          while (std::chrono::steady_clock::now() - start < kStretch) {
            const ExpertId id = records.next();
            const uint64_t size = source.find(id.layer)->record.size;
            source.read(id, record.bytes().first(size), context);
            bytes += size;
          }
        } catch (...) {
          const std::scoped_lock lock(mutex);
          failure = std::current_exception();
        }
      });
    }
  }
  if (failure) std::rethrow_exception(failure);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return static_cast<double>(bytes) / took.count();
}

bool possible(ReaderKind kind, const ExpertSource& source) {
  return make_reader(kind, source.files()) != nullptr;
}

}  // namespace

ReaderChoice choose_reader(const ExpertSource& source, std::optional<ReaderKind> forced) {
  if (forced && !possible(*forced, source)) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("this system refuses to read experts by {}; --expert-io auto "
                            "chooses what it allows",
                            reader_name(*forced)));
  }
  uint64_t largest = 0;
  uint64_t total = 0;
  for (const ExpertLayerSpec& layer : source.layers()) {
    largest = std::max(largest, layer.record.size);
    total += layer.experts * layer.record.size;
  }
  std::vector<Candidate> candidates;
  for (const Candidate& candidate : kCandidates) {
    const bool wanted = forced ? candidate.kind == *forced : possible(candidate.kind, source);
    if (wanted) candidates.push_back(candidate);
  }
  if (candidates.empty()) return {forced.value_or(ReaderKind::kBuffered), kDefaultLanes, 0};
  if (total < kLeastBytes) return {candidates.front().kind, kDefaultLanes, 0};

  RandomRecords records(source);
  ReaderChoice best;
  for (const Candidate& candidate : candidates) {
    const double rate = measure(source, candidate, largest, records);
    if (rate > kBetter * best.bytes_per_second) best = {candidate.kind, candidate.lanes, rate};
  }
  return best;
}

}  // namespace mach
