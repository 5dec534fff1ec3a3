// How fast do tokenizers load, encode and decode? Runs on the published tokenizers of the reference material
// (MACH_SHARED/fixtures/tokenizers) where they are at hand, and always on the demo checkpoint's. The text is this source
// tree's own prose and code, or ~2 MB of a kind of text that is hard on one part of the encoder.
//   tokenizer_bench --benchmark_filter='encode/.*/prose'
#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/file.h"
#include "base/utf8.h"
#include "support/gunzip.h"
#include "support/shared_dir.h"
#include "text/tokenizer/detokenizer.h"
#include "text/tokenizer/tokenizer.h"

namespace mach {
namespace {

constexpr size_t kTextBytes = 2'000'000;

std::string source_text() {
  std::vector<std::filesystem::path> paths;
  for (const char* folder : {"docs", "src", "tests"}) {
    const std::filesystem::path root = testing::source_dir() / folder;
    if (!std::filesystem::is_directory(root)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
      const std::string extension = entry.path().extension().string();
      if (extension == ".md" || extension == ".h" || extension == ".cpp") paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  std::string text;
  for (const auto& path : paths) text += read_text_file(path, kTextBytes);
  return replace_invalid_utf8(text);
}

std::string filled(const std::string& unit) {
  std::string text;
  while (text.size() < kTextBytes) text += unit;
  return text;
}

// Runs of pseudo-random characters of an alphabet: nothing repeats, so the word cache does not help.
std::string random_words(char32_t first, char32_t last) {
  std::string text;
  uint32_t state = 1;
  while (text.size() < kTextBytes) {
    state = state * 1664525 + 1013904223;
    const uint32_t draw = state >> 8;
    if (draw % 7 == 0) text += ' ';
    append_utf8(text, first + draw / 7 % (last - first + 1));
  }
  return text;
}

const std::map<std::string, std::string>& texts() {
  static const std::map<std::string, std::string> kTexts = {
      {"prose", source_text()},
      {"random_latin", random_words('a', 'z')},
      {"random_cyrillic", random_words(0x430, 0x44f)},
      {"random_han", random_words(0x4e00, 0x9fa5)},
      {"one_letter", std::string(kTextBytes, 'a')},
      {"one_space", std::string(kTextBytes, ' ')},
      {"newlines", std::string(kTextBytes, '\n')},
      {"emoji", filled("\U0001F469\u200D\U0001F680\U0001F30D")},
  };
  return kTexts;
}

void load(benchmark::State& state, const std::string& json) {
  for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::parse(json, "bench").vocab_size());
  state.SetBytesProcessed(static_cast<int64_t>(json.size() * state.iterations()));
}

void encode(benchmark::State& state, const std::string& json, const std::string& text) {
  const Tokenizer tokenizer = Tokenizer::parse(json, "bench");
  size_t ids = 0;
  for (auto _ : state) ids = tokenizer.encode(text).size();
  state.SetBytesProcessed(static_cast<int64_t>(text.size() * state.iterations()));
  state.counters["bytes_per_token"] = static_cast<double>(text.size()) / static_cast<double>(ids);
}

void decode(benchmark::State& state, const std::string& json) {
  const Tokenizer tokenizer = Tokenizer::parse(json, "bench");
  const std::vector<TokenId> ids = tokenizer.encode(texts().at("prose"));
  for (auto _ : state) {
    Detokenizer stream(tokenizer);
    size_t bytes = 0;
    for (const TokenId id : ids) bytes += stream.push(id).size();
    benchmark::DoNotOptimize(bytes);
  }
  state.SetItemsProcessed(static_cast<int64_t>(ids.size() * state.iterations()));
}

void register_all(const std::string& name, const std::string& json) {
  benchmark::RegisterBenchmark(("load/" + name).c_str(), load, json)->Unit(benchmark::kMillisecond);
  for (const auto& [kind, text] : texts()) {
    benchmark::RegisterBenchmark(("encode/" + name + "/" + kind).c_str(), encode, json, text)
        ->Unit(benchmark::kMillisecond);
  }
  benchmark::RegisterBenchmark(("decode/" + name).c_str(), decode, json)->Unit(benchmark::kMillisecond);
}

}  // namespace
}  // namespace mach

int main(int argc, char** argv) {
  const auto demo = mach::testing::source_dir() / "models/mini-qwen3_moe-mlx-4bit/tokenizer.json";
  mach::register_all("demo", mach::read_text_file(demo, 1 << 24));
  if (const auto shared = mach::testing::shared_dir()) {
    for (const char* name : {"qwen3", "gpt_oss", "gemma3", "deepseek_v3"}) {
      const auto path = *shared / "fixtures/tokenizers" / (std::string(name) + ".tokenizer.json.gz");
      mach::register_all(name, mach::testing::gunzip(path));
    }
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
