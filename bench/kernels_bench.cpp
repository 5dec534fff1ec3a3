// How fast the kernels are, to set against the machine's limits (bench/roofline): products per codec in bytes of weights per
// second for one column, where memory is the limit, and in multiply-adds per second for many, where arithmetic is.
//   kernels_bench [--set=avx2] [--threads=2] [google-benchmark arguments]
// Names: product/<mode>/<codec>/<columns>, op/<kernel>/<length>. One column streams a matrix larger than the caches; several
// use one that fits the outer cache, as an expert in prefill does.
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/aligned_buffer.h"
#include "kernels/product.h"
#include "quant/codec.h"
#include "quant/encode.h"

namespace {

using namespace mach;  // NOLINT(google-build-using-namespace): a program, not a header

struct Setup {
  ThreadPool pool;
  const KernelSet& kernels;
};

constexpr uint32_t kCols = 2048;
constexpr uint64_t kStreamedBytes = uint64_t{160} << 20;
constexpr uint64_t kCachedBytes = uint64_t{2} << 20;

// A matrix that repeats a few encoded rows: encoding all of it would take longer than measuring.
class BigMatrix {
 public:
  BigMatrix(const WeightFormat& format, uint64_t bytes)
      : matrix_(format, static_cast<uint32_t>(bytes / (matrix_bytes(format, 128, kCols) / 128) / 128 * 128),
                kCols) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0.0F, 0.02F);
    const uint32_t step = format.block_rows;
    std::vector<float> rows(size_t{kCols} * step * 4);
    for (float& w : rows) w = normal(random);
    for (uint32_t r = 0; r < matrix_.view().rows; r += step) {
      const size_t first = size_t{r / step % 4} * step * kCols;
      if (r < 4 * step) {
        encode_block(format, std::span(rows).subspan(first, size_t{step} * kCols), kCols, matrix_.block(r));
        continue;
      }
      const EncodedBlock from = matrix_.block(r - 4 * step);
      const EncodedBlock to = matrix_.block(r);
      std::copy_n(from.codes, step * row_bytes(format, kCols), to.codes);
      std::copy_n(from.scales, scale_row_bytes(format, kCols), to.scales);
      if (codec_row(format.codec).biases) std::copy_n(from.biases, scale_row_bytes(format, kCols), to.biases);
    }
  }
  const WeightMatrix& view() const { return matrix_.view(); }
  uint64_t bytes() const { return matrix_.bytes().size(); }

 private:
  EncodedMatrix matrix_;
};

AlignedBuffer random_floats(size_t n) {
  AlignedBuffer buffer(n * sizeof(float));
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (float& v : buffer.as<float>()) v = normal(random);
  return buffer;
}

void bench_product(benchmark::State& state, Setup& setup, Numerics numerics, const WeightFormat& format,
                   uint32_t columns) {
  const BigMatrix matrix(format, columns == 1 ? kStreamedBytes : kCachedBytes);
  const AlignedBuffer x = random_floats(size_t{columns} * kCols);
  AlignedBuffer y(size_t{columns} * matrix.view().rows * sizeof(float));
  Compute compute(setup.pool, setup.kernels, numerics);
  Activations activations;
  for (auto _ : state) {
    activations.assign(x.as<float>().data(), columns,
                       kCols);  // quantised again each time, as in a forward pass
    multiply(compute, Product{.weight = &matrix.view(),
                              .x = &activations,
                              .y = y.as<float>().data(),
                              .y_stride = matrix.view().rows});
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * matrix.bytes()));
  const double products = static_cast<double>(matrix.view().rows) * kCols * columns;
  state.counters["MAC"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * products, benchmark::Counter::kIsRate);
}

void register_products(Setup& setup) {
  const WeightFormat formats[] = {
      {CodecId::kF32, ScaleType::kNone, 32, 0, 1},    {CodecId::kBF16, ScaleType::kNone, 16, 0, 1},
      {CodecId::kAffine, ScaleType::kBF16, 2, 64, 1}, {CodecId::kAffine, ScaleType::kBF16, 3, 64, 1},
      {CodecId::kAffine, ScaleType::kBF16, 4, 64, 1}, {CodecId::kAffine, ScaleType::kBF16, 5, 64, 1},
      {CodecId::kAffine, ScaleType::kBF16, 6, 64, 1}, {CodecId::kAffine, ScaleType::kBF16, 8, 64, 1},
      {CodecId::kMxFp4, ScaleType::kE8M0, 4, 32, 1},  {CodecId::kNvFp4, ScaleType::kE4M3, 4, 16, 1},
      {CodecId::kMxFp8, ScaleType::kE8M0, 8, 32, 1},  {CodecId::kFp8Block, ScaleType::kF32, 8, 128, 128},
  };
  for (const Numerics numerics : {Numerics::kFast, Numerics::kExact}) {
    for (const WeightFormat& format : formats) {
      for (const uint32_t columns : {1U, 2U, 4U, 8U, 32U, 128U}) {
        std::string name = numerics == Numerics::kFast ? "product/fast/" : "product/exact/";
        name += codec_row(format.codec).name;
        if (format.codec == CodecId::kAffine) name += std::to_string(format.bits);
        name += '/' + std::to_string(columns);
        benchmark::RegisterBenchmark(name.c_str(), [&setup, numerics, format,
                                                    columns](benchmark::State& state) {
          bench_product(state, setup, numerics, format, columns);
        })->UseRealTime();
      }
    }
  }
}

// One-thread kernels over `n` elements that stay in the nearest cache.
template <class F>
void register_op(const std::string& name, uint32_t n, F run) {
  const std::string full = "op/" + name + '/' + std::to_string(n);
  benchmark::RegisterBenchmark(full.c_str(), [n, run](benchmark::State& state) {
    AlignedBuffer x = random_floats(n);
    AlignedBuffer y = random_floats(n);
    for (auto _ : state) {
      run(x.as<float>().data(), y.as<float>().data());
      benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * n));
  });
}

void register_ops(const KernelSet& k) {
  constexpr uint32_t kN = 2048;
  register_op("rms_norm", kN, [&k](float* x, float* y) { k.rms_norm(x, x, 1e-6F, kN, y); });
  register_op("silu_gate", kN, [&k](float* x, float* y) {
    k.gated_activation({kernel::Gate::kSilu, 0.0F, 0.0F}, x, x, kN, y);
  });
  register_op("softmax", kN, [&k](float*, float* y) { k.softmax(nullptr, kN, y); });
  register_op("quantize_int8", kN, [&k](float* x, float* y) {
    auto* values = reinterpret_cast<int8_t*>(y);
    k.quantize_int8(x, kN, values, y + kN / 4);
  });
  // Attention of 8 query heads over 256 keys of 128 bf16 elements.
  auto keys = std::make_shared<AlignedBuffer>(256 * 128 * 2);
  std::fill_n(keys->as<uint16_t>().data(), keys->size() / 2, uint16_t{0x3c00});
  register_op("dot_rows_bf16_8x256", 8 * 256 * 128, [&k, keys](float* x, float* y) {
    const float* queries[8];
    for (size_t h = 0; h < 8; ++h) queries[h] = x + h * 128;
    k.dot_rows_bf16({keys->data(), 256, 256}, 128, queries, 8, y, 256);
  });
  register_op("mix_rows_bf16_8x256", 8 * 256 * 128, [&k, keys](float* x, float* y) {
    k.mix_rows_bf16({keys->data(), 256, 256}, 128, x, 256, 8, y, 128);
  });
}

// The value of --name=value, taken out of the arguments.
std::string take_argument(int& argc, char** argv, std::string_view name) {
  const std::string prefix = "--" + std::string(name) + '=';
  std::string value;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]).starts_with(prefix)) {
      value = argv[i] + prefix.size();
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string set = take_argument(argc, argv, "set");
  const std::string threads = take_argument(argc, argv, "threads");
  Setup setup{ThreadPool(threads.empty() ? std::thread::hardware_concurrency() : std::stoul(threads)),
              select_kernel_set(probe_cpu_features(), set)};
  benchmark::AddCustomContext("kernel set", std::string(setup.kernels.name));
  benchmark::AddCustomContext("threads", std::to_string(setup.pool.threads()));
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  register_products(setup);
  register_ops(setup.kernels);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
