// Expert reads against the disk: how fast an expert bank gets the misses of tokens with uniformly random routing (the worst
// case), as a share of the sequential direct-read rate of the same files in the same run; and what an acquire costs when
// nothing misses.
//   expert_io_bench FOLDER [LAYERS [EXPERTS]]     writes a sidecar of qwen3-30b records (4-bit) there if there is none
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <random>
#include <vector>

#include <fmt/format.h>

#include "mach/error.h"

#include "experts/expert_bank.h"
#include "experts/expert_source.h"
#include "experts/reader_choice.h"
#include "experts/sidecar_writer.h"

namespace {

using namespace mach;
using Clock = std::chrono::steady_clock;

constexpr uint32_t kTopK = 8;
constexpr double kGB = 1e9;
constexpr int kTurns = 4;
constexpr double kTurnSeconds = 0.4;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void write_sidecar(const std::filesystem::path& folder, uint32_t layers, uint32_t experts) {
  const WeightFormat format{.codec = CodecId::kAffine, .scale = ScaleType::kBF16, .bits = 4, .group = 64};
  const ExpertRecord record =
      reordered(make_expert_record({MatrixSpec{format, 768, 2048}, MatrixSpec{format, 768, 2048},
                                    MatrixSpec{format, 2048, 768}}),
                RecordOrder::kFast);
  std::mt19937_64 random(1);
  AlignedBuffer bytes(record.size, kDirectIoAlignment);
  for (uint64_t& word : bytes.as<uint64_t>()) word = random();
  SidecarWriter writer(folder, "qwen3_moe");
  for (uint32_t layer = 0; layer < layers; ++layer) {
    const ExpertLayerSpec spec{layer, experts, record};
    if (writer.has_layer(spec)) continue;
    writer.begin_layer(spec);
    for (uint32_t expert = 0; expert < experts; ++expert) {
      bytes.as<uint64_t>()[expert] = random();
      writer.append(std::span<const std::byte>(bytes.bytes()));
    }
    writer.end_layer();
  }
  writer.finish();
}

// Front to back and over again, 16 pieces of 512 KiB in flight.
class SequentialReader {
 public:
  explicit SequentialReader(const ExpertSource& source)
      : source_(source), reader_(make_reader(ReaderKind::kUring, source.files())) {}

  // Bytes per second; 0 where the system refuses io_uring.
  double rate(double seconds) {
    if (!reader_) return 0;
    uint64_t bytes = 0;
    const auto start = Clock::now();
    while (seconds_since(start) < seconds) {
      if (at_ + buffer_.size() > source_.files().size(file_)) {
        file_ = (file_ + 1) % source_.files().count();
        at_ = 0;
      }
      const ReadPart part{at_, buffer_.bytes(), buffer_.size()};
      reader_->read(file_, std::span(&part, 1));
      at_ += buffer_.size();
      bytes += buffer_.size();
    }
    return static_cast<double>(bytes) / seconds_since(start);
  }

 private:
  const ExpertSource& source_;
  std::unique_ptr<FileReader> reader_;
  AlignedBuffer buffer_{uint64_t{8} << 20, kDirectIoAlignment};
  size_t file_ = 0;
  uint64_t at_ = 0;
};

std::vector<uint32_t> draw(std::mt19937& random, uint32_t experts) {
  std::vector<uint32_t> ids(experts);
  std::iota(ids.begin(), ids.end(), 0U);
  for (uint32_t i = 0; i < kTopK; ++i) std::swap(ids[i], ids[i + random() % (experts - i)]);
  ids.resize(kTopK);
  return ids;
}

// Turns of sequential reading and of tokens' misses, short ones, because the rate of a shared disk changes from second to
// second.
void measure_misses(const std::filesystem::path& folder, const SidecarLayout& layout,
                    const ReaderChoice& choice, SequentialReader& sequential) {
  auto source = open_sidecar_source(folder, layout, false, RecordOrder::kFast);
  const std::vector<ExpertLayerSpec> layers(source->layers().begin(), source->layers().end());
  const uint64_t budget = bank_floor_bytes(layers, kTopK) + choice.lanes * source->staging_bytes();
  ExpertBank bank(std::move(source), {.budget_bytes = budget,
                                      .top_k = kTopK,
                                      .reader = choice.kind,
                                      .lanes = choice.lanes,
                                      .lookahead = Lookahead::kOff});
  std::mt19937 random(7);
  const auto token = [&] {
    for (const ExpertLayerSpec& layer : layers) bank.acquire(layer.layer, draw(random, layer.experts));
  };
  token();  // touches the slots' pages
  const ExpertCounters before = bank.status().total;
  double sequential_sum = 0, seconds = 0;
  for (int turn = 0; turn < kTurns; ++turn) {
    sequential_sum += sequential.rate(kTurnSeconds);
    const auto start = Clock::now();
    while (seconds_since(start) < kTurnSeconds) token();
    seconds += seconds_since(start);
  }
  const ExpertCounters total = bank.status().total;
  const double rate = static_cast<double>(total.bytes_read - before.bytes_read) / seconds;
  const double disk = sequential_sum / kTurns;
  fmt::print(
      "{:9} x {}   {:5.2f} GB/s, {:5.1f} % of the {:5.2f} GB/s of sequential direct reads   {:5.2f} "
      "ms/record   {:4.1f} % hits\n",
      reader_name(choice.kind), choice.lanes, rate / kGB, disk > 0 ? 100 * rate / disk : 0, disk / kGB,
      1e-6 * static_cast<double>(total.read_ns) / static_cast<double>(total.reads), 100 * total.hit_rate());
}

void measure_hits(const std::filesystem::path& folder, const SidecarLayout& layout) {
  auto source = open_sidecar_source(folder, layout, false, RecordOrder::kFast);
  const uint64_t all = expert_record_bytes(source->layers());
  ExpertBank bank(std::move(source), {.budget_bytes = all, .top_k = kTopK, .lanes = 4});
  std::vector<uint32_t> ids(kTopK);
  std::iota(ids.begin(), ids.end(), 0U);
  bank.acquire(0, ids);
  constexpr int kTimes = 100'000;
  const auto start = Clock::now();
  for (int i = 0; i < kTimes; ++i) bank.acquire(0, ids);
  fmt::print("an acquire of {} experts without a miss: {:.0f} ns\n", kTopK,
             1e9 * seconds_since(start) / kTimes);
}

int run(int argc, char** argv) {
  const std::filesystem::path folder = argv[1];
  const auto layers = static_cast<uint32_t>(argc > 2 ? std::atoi(argv[2]) : 8);
  const auto experts = static_cast<uint32_t>(argc > 3 ? std::atoi(argv[3]) : 128);
  if (!read_sidecar_layout(folder)) write_sidecar(folder, layers, experts);
  const SidecarLayout layout = *read_sidecar_layout(folder);
  const auto source = open_sidecar_source(folder, layout, false, RecordOrder::kFast);
  fmt::print("{:.2f} GB, {} layers of {} records of {} bytes\n", static_cast<double>(layout.bytes()) / kGB,
             layout.layers.size(), layout.layers[0].experts, layout.layers[0].record.size);
  SequentialReader sequential(*source);
  const ReaderChoice chosen = choose_reader(*source, std::nullopt);
  fmt::print("chosen by measurement: {} x {} ({:.2f} GB/s)\n", reader_name(chosen.kind), chosen.lanes,
             chosen.bytes_per_second / kGB);
  for (const ReaderChoice& choice :
       {chosen, ReaderChoice{ReaderKind::kUring, 1}, ReaderChoice{ReaderKind::kUring, 2},
        ReaderChoice{ReaderKind::kPread, 4}, ReaderChoice{ReaderKind::kBuffered, 4},
        ReaderChoice{ReaderKind::kMmap, 2}}) {
    measure_misses(folder, layout, choice, sequential);
  }
  measure_hits(folder, layout);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s FOLDER [LAYERS [EXPERTS]]\n", argv[0]);
    return 2;
  }
  try {
    return run(argc, argv);
  } catch (const mach::Error& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return mach::error_row(error.code()).exit_code;
  }
}
