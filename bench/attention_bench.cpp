// Attention, the gated delta rule and their caches, to set against the machine's limits (bench/roofline): decode in bytes of
// keys and values per second, prefill in multiply-adds per second (both passes over the keys, masked ones not counted).
//   attention_bench [--set=avx2] [--threads=2] [google-benchmark arguments]
// Names: decode/<shape>/<element>/<past>, prefill/<shape>/<element>/<tokens>/<past>, delta/<tokens>.
// Decode goes through as many layers as are needed to leave the caches of the processor.
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include "model/blocks/attention.h"
#include "model/blocks/gated_delta.h"
#include "model/caches/paged_kv.h"
#include "model/caches/ring_kv.h"
#include "model/pass.h"
#include "model/workspace.h"

namespace {

using namespace mach;  // NOLINT(google-build-using-namespace): a program, not a header

struct Shape {
  const char* name;
  uint32_t heads, kv_heads, head_dim, window;
};

constexpr Shape kShapes[] = {
    {"qwen3", 32, 4, 128, 0},        // Qwen3-30B-A3B
    {"qwen3.6", 16, 2, 256, 0},      // Qwen3.6-35B-A3B, full layers
    {"gpt-oss", 64, 8, 64, 0},       // gpt-oss-20b, full layers
    {"gemma4-full", 16, 2, 512, 0},  // Gemma 4 26B-A4B
    {"gemma4-slide", 16, 8, 256, 1024},
};

constexpr uint64_t kOutsideCaches = uint64_t{256} << 20;

std::vector<float> random_floats(size_t n) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

// A layer with `past` tokens, all alike: what is in them costs nothing to read.
std::unique_ptr<KvCache> filled_cache(Workspace& workspace, const Shape& shape, KvElement element,
                                      uint32_t past) {
  const KvShape kv{.kv_heads = shape.kv_heads, .head_dim = shape.head_dim, .element = element};
  std::unique_ptr<KvCache> cache;
  if (shape.window == 0) {
    cache = std::make_unique<PagedKv>(kv);
  } else {
    cache = std::make_unique<RingKv>(kv, shape.window, 32);
  }
  const auto row = random_floats(size_t{shape.kv_heads} * shape.head_dim);
  for (uint32_t first = 0; first < past;) {
    const uint32_t count = std::min(512U, past - first);
    cache->stage(count);
    for (uint32_t i = 0; i < count; ++i) cache->write(workspace.kernels(), first + i, row, row);
    cache->commit();
    first += count;
  }
  return cache;
}

void bench_attention(benchmark::State& state, Workspace& workspace, const Shape& shape, KvElement element,
                     uint32_t tokens, uint32_t past) {
  const KvShape kv{.kv_heads = shape.kv_heads, .head_dim = shape.head_dim, .element = element};
  const uint32_t seen = shape.window == 0 ? past : std::min(past, shape.window);
  const uint64_t layer_bytes = uint64_t{seen} * kv.token_bytes();
  const size_t layers = tokens > 1 ? 1 : 1 + kOutsideCaches / std::max<uint64_t>(layer_bytes, 1 << 20);
  std::vector<std::unique_ptr<KvCache>> caches;
  for (size_t i = 0; i < layers; ++i) caches.push_back(filled_cache(workspace, shape, element, past));

  const uint32_t q_dim = shape.heads * shape.head_dim;
  const uint32_t kv_dim = shape.kv_heads * shape.head_dim;
  auto q = random_floats(size_t{tokens} * q_dim);
  auto k = random_floats(size_t{tokens} * kv_dim);
  std::vector<float> out(q.size());
  const AttentionShape attention{.heads = shape.heads,
                                 .scale = 1.0F / std::sqrt(static_cast<float>(shape.head_dim)),
                                 .window = shape.window,
                                 .sinks = {}};
  for (auto _ : state) {
    for (const auto& cache : caches) {
      const AttentionSequence sequence{
          .cache = cache.get(), .first_row = 0, .rows = tokens, .position = past};
      const FloatRows rows{k.data(), tokens, kv_dim};
      store_kv(workspace, {&sequence, 1}, rows, rows);
      attend(workspace, attention, {&sequence, 1}, {q.data(), tokens, q_dim}, {out.data(), tokens, q_dim});
      cache->discard();
    }
  }
  double pairs = 0;  // of a query and a key that it sees
  for (uint32_t t = 0; t < tokens; ++t)
    pairs += shape.window == 0 ? past + t + 1 : std::min(past + t + 1, shape.window);
  const auto runs = static_cast<double>(state.iterations()) * static_cast<double>(layers);
  state.SetBytesProcessed(static_cast<int64_t>(runs * static_cast<double>(layer_bytes)));
  state.counters["MAC"] = benchmark::Counter(runs * pairs * 2 * q_dim, benchmark::Counter::kIsRate);
}

void register_attention(Workspace& workspace) {
  for (const Shape& shape : kShapes) {
    for (const KvElement element : {KvElement::kBF16, KvElement::kQ8}) {
      const std::string name = std::string(shape.name) + (element == KvElement::kBF16 ? "/bf16/" : "/q8/");
      for (const uint32_t past : {256U, 4096U, 16384U}) {
        benchmark::RegisterBenchmark(("decode/" + name + std::to_string(past)).c_str(),
                                     [&workspace, shape, element, past](benchmark::State& s) {
                                       bench_attention(s, workspace, shape, element, 1, past);
                                     })
            ->UseRealTime();
      }
      for (const uint32_t past : {0U, 4096U, 16384U}) {
        benchmark::RegisterBenchmark(("prefill/" + name + "512/" + std::to_string(past)).c_str(),
                                     [&workspace, shape, element, past](benchmark::State& s) {
                                       bench_attention(s, workspace, shape, element, 512, past);
                                     })
            ->UseRealTime();
      }
    }
  }
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
  ThreadPool pool(threads.empty() ? std::thread::hardware_concurrency() : std::stoul(threads));
  Workspace workspace(pool, select_kernel_set(probe_cpu_features(), set));
  benchmark::AddCustomContext("kernel set", std::string(workspace.kernels().name));
  benchmark::AddCustomContext("threads", std::to_string(pool.threads()));
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  register_attention(workspace);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
