// How near the routed experts of a layer run to what the machine can do: 128 experts of the qwen3-30b-a3b shape (gate and up
// 768 x 2048, down 2048 x 768), so that weights come from memory and not from a cache.
//   experts_bench [--threads=2] [--set=avx2] [--rows] [--two-terms] [--format=mxfp4] [--tokens=1,32,256]
// Each line is one codec and a number of tokens per expert. With one to four tokens eight experts are taken per step, in
// turns, and the figure is bytes of weights per second and their share of the measured read rate; with more, all experts
// take that many tokens and the figure is multiply-adds per second and their share of the measured int8 peak. Medians of
// steps. --rows: weights in rows order, as checkpoints hold them. --two-terms: activations as in dense projections.
// --format: formats whose name contains it.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/aligned_buffer.h"
#include "kernels/product.h"
#include "quant/codec.h"
#include "quant/encode.h"
#include "quant/packing.h"
#include "roofline/roofline.h"

namespace {

using namespace mach;  // NOLINT(google-build-using-namespace): a program, not a header

constexpr uint32_t kExperts = 128;
constexpr uint32_t kChosen = 8;
constexpr uint32_t kHidden = 2048;
constexpr uint32_t kIntermediate = 768;

struct Expert {
  WeightMatrix gate, up, down;
};

// Experts in one piece of memory, back to back as in a bank. Their bits repeat; their addresses do not.
class Layer {
 public:
  Layer(const WeightFormat& format, WeightOrder order) {
    const uint64_t wide = ordered_bytes(order, format, kIntermediate, kHidden);
    const uint64_t tall = ordered_bytes(order, format, kHidden, kIntermediate);
    bytes_ = 2 * wide + tall;
    memory_ = AlignedBuffer(kExperts * bytes_, kVectorAlignment, PageHint::kHuge);
    fill(format, order, kIntermediate, kHidden, memory_.bytes().first(wide));
    std::memcpy(memory_.data() + wide, memory_.data(), wide);
    fill(format, order, kHidden, kIntermediate, memory_.bytes().subspan(2 * wide, tall));
    for (uint32_t i = 0; i < kExperts; ++i) {
      std::byte* at = memory_.data() + i * bytes_;
      if (i > 0) std::memcpy(at, memory_.data(), bytes_);
      experts_.push_back({ordered_view(order, format, kIntermediate, kHidden, at),
                          ordered_view(order, format, kIntermediate, kHidden, at + wide),
                          ordered_view(order, format, kHidden, kIntermediate, at + 2 * wide)});
    }
  }
  const Expert& operator[](uint32_t i) const { return experts_[i]; }
  uint64_t expert_bytes() const { return bytes_; }

 private:
  static void fill(const WeightFormat& format, WeightOrder order, uint32_t rows, uint32_t cols,
                   std::span<std::byte> out) {
    std::mt19937 random(rows);
    std::normal_distribution<float> normal(0.0F, 0.02F);
    std::vector<float> values(size_t{rows} * cols);
    for (float& w : values) w = normal(random);
    reorder(encode_matrix(format, values, cols).view(), order, out);
  }

  AlignedBuffer memory_;
  std::vector<Expert> experts_;
  uint64_t bytes_ = 0;
};

std::vector<float> random_floats(size_t n) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  return values;
}

// One step of a layer: gate and up of `count` experts from `first` on, then their down. A row of hidden values is the input
// of eight experts, as with top-8 routing.
class Step {
 public:
  Step(Compute& compute, const Layer& layer, uint32_t count, uint32_t tokens, bool two_terms)
      : compute_(compute),
        layer_(layer),
        count_(count),
        tokens_(tokens),
        two_terms_(two_terms),
        hidden_(random_floats(size_t{count} * tokens / kChosen * kHidden)),
        inner_(random_floats(size_t{count} * tokens * kIntermediate)),
        out_(size_t{count} * tokens * (2 * kIntermediate + kHidden)) {
    for (uint32_t i = 0; i < count * tokens; ++i) own_.push_back(i);
    for (uint32_t i = 0; i < count; ++i) {
      for (uint32_t t = 0; t < tokens; ++t)
        chosen_.push_back((t * (count / kChosen)) + i % (count / kChosen));
    }
  }

  void run(uint32_t first) {
    x_.assign(hidden_.data(), count_ * tokens_ / kChosen, kHidden);
    products_.clear();
    float* y = out_.data();
    for (uint32_t i = 0; i < count_; ++i) {
      const Expert& expert = layer_[(first + i) % kExperts];
      add(expert.gate, x_, chosen_, i, y);
      add(expert.up, x_, chosen_, i, y);
    }
    multiply(compute_, products_);
    z_.assign(inner_.data(), count_ * tokens_, kIntermediate);
    products_.clear();
    for (uint32_t i = 0; i < count_; ++i) add(layer_[(first + i) % kExperts].down, z_, own_, i, y);
    multiply(compute_, products_);
  }

 private:
  void add(const WeightMatrix& weight, const Activations& x, std::span<const uint32_t> rows, uint32_t i,
           float*& y) {
    const auto columns = rows.subspan(size_t{i} * tokens_, tokens_);
    products_.push_back({.weight = &weight,
                         .x = &x,
                         .columns = columns,
                         .y = y,
                         .y_stride = weight.rows,
                         .two_terms = two_terms_});
    y += size_t{tokens_} * weight.rows;
  }

  Compute& compute_;
  const Layer& layer_;
  uint32_t count_, tokens_;
  bool two_terms_;
  std::vector<float> hidden_, inner_, out_;
  std::vector<uint32_t> chosen_, own_;  // by expert: rows of its hidden and of its inner values
  std::vector<Product> products_;
  Activations x_, z_;
};

double median_seconds(Step& step, uint32_t stride, int steps) {
  std::vector<double> seconds;
  for (int i = 0; i < steps; ++i) {
    const auto start = std::chrono::steady_clock::now();
    step.run(static_cast<uint32_t>(i) * stride % kExperts);
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

struct Options {
  size_t threads = std::thread::hardware_concurrency();
  std::string set;
  std::string format;
  std::vector<uint32_t> tokens = {1, 2, 4, 8, 16, 32, 64, 128, 256};
  WeightOrder order = WeightOrder::kPanels;
  bool two_terms = false;
};

void measure(Compute& compute, const roofline::Roofline& roof, const WeightFormat& format,
             const Options& options) {
  const Layer layer(format, options.order);
  for (const uint32_t tokens : options.tokens) {
    std::printf("%-36s %4u tokens", format_name(format).c_str(), tokens);
    if (tokens < 8) {
      Step step(compute, layer, kChosen, tokens, options.two_terms);
      const double bytes = static_cast<double>(kChosen * layer.expert_bytes());
      const double rate = bytes / median_seconds(step, kChosen, 128);
      std::printf("  %7.1f GB/s    %5.1f %% of read rate\n", rate * 1e-9, 100.0 * rate / roof.read_bytes);
    } else {
      Step step(compute, layer, kExperts, tokens, options.two_terms);
      const double macs = 3.0 * kHidden * kIntermediate * kExperts * tokens;
      const double rate = macs / median_seconds(step, 0, tokens > 64 ? 3 : 7);
      std::printf("  %7.1f GMAC/s  %5.1f %% of int8 peak\n", rate * 1e-9, 100.0 * rate / roof.int8_macs);
    }
    std::fflush(stdout);
  }
}

std::vector<uint32_t> numbers(std::string_view list) {
  std::vector<uint32_t> values;
  for (size_t begin = 0; begin < list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    values.push_back(static_cast<uint32_t>(std::stoul(std::string(list.substr(begin, end - begin)))));
    begin = end + 1;
  }
  return values;
}

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const std::string_view value = argument.substr(std::min(argument.find('=') + 1, argument.size()));
    if (argument.starts_with("--threads=")) {
      options.threads = numbers(value).at(0);
    } else if (argument.starts_with("--set=")) {
      options.set = value;
    } else if (argument.starts_with("--format=")) {
      options.format = value;
    } else if (argument.starts_with("--tokens=")) {
      options.tokens = numbers(value);
    } else if (argument == "--rows") {
      options.order = WeightOrder::kRows;
    } else if (argument == "--two-terms") {
      options.two_terms = true;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fprintf(stderr,
                 "usage: experts_bench [--threads=N] [--set=NAME] [--rows] [--two-terms] [--format=NAME] "
                 "[--tokens=N,N]\n");
    return 2;
  }
  ThreadPool pool(options.threads);
  Compute compute(pool, select_kernel_set(probe_cpu_features(), options.set), Numerics::kFast);
  const roofline::Roofline roof = roofline::measure_roofline(roofline::best_peaks(), pool);
  std::printf("kernel set %s, %zu threads: read %.1f GB/s, int8 %.1f GMAC/s\n", compute.kernels.name.data(),
              pool.threads(), roof.read_bytes * 1e-9, roof.int8_macs * 1e-9);
  const WeightFormat formats[] = {{CodecId::kAffine, ScaleType::kBF16, 4, 64, 1},
                                  {CodecId::kAffine, ScaleType::kBF16, 4, 32, 1},
                                  {CodecId::kMxFp4, ScaleType::kE8M0, 4, 32, 1},
                                  {CodecId::kAffine, ScaleType::kBF16, 8, 64, 1},
                                  {CodecId::kNvFp4, ScaleType::kE4M3, 4, 16, 1}};
  for (const WeightFormat& format : formats) {
    if (format_name(format).find(options.format) != std::string::npos)
      measure(compute, roof, format, options);
  }
  return 0;
}
