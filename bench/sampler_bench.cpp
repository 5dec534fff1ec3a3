// How long does choosing a token take? Logits like those of a language model: normally distributed, spread 3, and a few far above.
//   sampler_bench --benchmark_filter=all
#include <random>
#include <vector>

#include <benchmark/benchmark.h>

#include "engine/sampler.h"

namespace mach {
namespace {

void sample(benchmark::State& state, const SamplingParams& params) {
  const auto vocabulary = static_cast<uint32_t>(state.range(0));
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(vocabulary);
  for (float& x : logits) x = normal(random);
  for (size_t i = 0; i < 8; ++i) logits[random() % vocabulary] = 14.0F + static_cast<float>(i) / 2;
  Sampler sampler(params, vocabulary);
  for (auto _ : state) sampler.accept(sampler.sample(logits).id);
}

SamplingParams params(float temperature, uint32_t top_k, float top_p) {
  SamplingParams p;
  p.temperature = temperature;
  p.top_k = top_k;
  p.top_p = top_p;
  return p;
}

void add(const char* name, const SamplingParams& p) {
  benchmark::RegisterBenchmark(name, sample, p)->Arg(151669)->Arg(262144)->Unit(benchmark::kMicrosecond);
}

}  // namespace
}  // namespace mach

int main(int argc, char** argv) {
  mach::add("greedy", mach::params(0, 0, 1));
  mach::add("all", mach::params(1, 0, 1));
  mach::add("top_p_0.95", mach::params(1, 0, 0.95F));
  mach::add("top_k_20_top_p_0.95", mach::params(1, 20, 0.95F));
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
