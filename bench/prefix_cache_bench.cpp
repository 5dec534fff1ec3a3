// How much sooner the first token comes when a long prefix is reused: prefix_cache_bench [--tokens N] [--exact] CHECKPOINT...
//
// Per checkpoint, medians of several prefixes of N tokens (3000) with a short question behind each:
//   cold     nothing cached
//   L1       the same prefix, another question, from memory
//   L2       the same after the engine was closed and opened again, from disk
// Times run from submit() to the first token.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "mach/error.h"

#include "engine/loaded_engine.h"

namespace mach {
namespace {

using Tokens = std::vector<TokenId>;

constexpr int kPrefixes = 5;
constexpr size_t kQuestionTokens = 12;

struct FirstToken {
  double seconds = 0;
  uint32_t cached = 0;
};

class Server {
 public:
  Server(const std::string& checkpoint, const EngineOptions& options, const std::filesystem::path& disk_dir)
      : engine_(LoadedEngine::open(checkpoint, options)) {
    EngineLoopOptions loop_options;
    loop_options.prefix_cache.disk_dir = disk_dir;
    loop_ = engine_->start_loop(loop_options);
  }

  FirstToken first_token(const Tokens& prefix, std::mt19937& random) {
    EngineRequest request;
    request.prompt = prefix;
    for (size_t i = 0; i < kQuestionTokens; ++i) request.prompt.push_back(random_token(random));
    request.boundaries = {static_cast<uint32_t>(prefix.size())};  // as a server says where a system text ends
    request.params = engine_->default_generation();
    request.params.max_tokens = 1;
    std::promise<FirstToken> done;
    const auto start = std::chrono::steady_clock::now();
    request.events = [&](const EngineEvent& event) {
      if (const auto* end = std::get_if<RequestEndEvent>(&event)) {
        const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
        done.set_value({taken.count(), end->usage.cached_tokens});
      }
    };
    loop_->submit(std::move(request));
    return done.get_future().get();
  }

  TokenId random_token(std::mt19937& random) const {
    return static_cast<TokenId>(300 + random() % (engine_->info().vocab_size - 600));
  }
  const EngineInfo& info() const { return engine_->info(); }
  uint64_t disk_bytes() const { return loop_->stats().prefix_cache.disk_bytes; }

 private:
  std::unique_ptr<LoadedEngine> engine_;
  std::unique_ptr<EngineLoop> loop_;
};

struct Row {
  std::vector<double> seconds;
  uint32_t cached = ~0U;
  void add(const FirstToken& token) {
    seconds.push_back(token.seconds);
    cached = std::min(cached, token.cached);
  }
  double median() {
    std::sort(seconds.begin(), seconds.end());
    return seconds[seconds.size() / 2];
  }
};

void measure(const std::string& checkpoint, const EngineOptions& options, size_t tokens) {
  std::string pattern = (std::filesystem::temp_directory_path() / "mach-prefix-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw Error(ErrorCode::kIo, "cannot make a folder in " + pattern);
  const std::filesystem::path folder = pattern;
  std::mt19937 random(1);
  std::vector<Tokens> prefixes(kPrefixes);
  Row cold;
  Row memory;
  Row disk;
  std::string type;
  uint64_t disk_bytes = 0;
  {
    Server server(checkpoint, options, folder);
    type = server.info().model_type;
    server.first_token(Tokens(600, 400), random);  // touches the weights
    for (Tokens& prefix : prefixes) {
      for (size_t i = 0; i < tokens; ++i) prefix.push_back(server.random_token(random));
      cold.add(server.first_token(prefix, random));
      memory.add(server.first_token(prefix, random));
    }
  }
  {
    Server server(checkpoint, options, folder);
    disk_bytes = server.disk_bytes();
    server.first_token(Tokens(600, 500), random);
    for (const Tokens& prefix : prefixes) disk.add(server.first_token(prefix, random));
  }
  std::filesystem::remove_all(folder);
  std::printf("%-14s %-6s %8.1f ms %8.2f ms (%u cached) %6.1f x %8.2f ms (%u cached) %6.1f x %8.1f MB\n",
              type.c_str(), options.exact ? "exact" : "fast", 1e3 * cold.median(), 1e3 * memory.median(),
              memory.cached, cold.median() / memory.median(), 1e3 * disk.median(), disk.cached,
              cold.median() / disk.median(), static_cast<double>(disk_bytes) / 1e6);
}

int run(int argc, char** argv) {
  EngineOptions options;
  size_t tokens = 3000;
  std::vector<std::string> checkpoints;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--exact") {
      options.exact = true;
    } else if (argument == "--tokens" && i + 1 < argc) {
      tokens = std::strtoul(argv[++i], nullptr, 10);
    } else {
      checkpoints.emplace_back(argument);
    }
  }
  std::printf("time to first token, prefix of %zu tokens, medians of %d\n", tokens, kPrefixes);
  std::printf("%-14s %-6s %11s %11s %25s %20s\n", "model", "mode", "cold", "L1", "L2", "files");
  for (const std::string& checkpoint : checkpoints) measure(checkpoint, options, tokens);
  return 0;
}

}  // namespace
}  // namespace mach

int main(int argc, char** argv) {
  try {
    return mach::run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "prefix_cache_bench: %s\n", e.what());
    return 1;
  }
}
