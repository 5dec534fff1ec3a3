#include "engine/prefix_cache/model_identity.h"

#include <algorithm>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <xxhash.h>

#include "base/fd.h"
#include "base/file.h"
#include "model/state_io.h"

namespace mach {
namespace {

constexpr uint64_t kMaxConfigBytes = uint64_t{16} << 20;
constexpr uint64_t kHeadBytes = 64 << 10;  // of a file: most safetensors headers
constexpr uint64_t kSampleBytes = 4096;
constexpr uint64_t kSamples = 32;

class Hash {
 public:
  Hash() : state_(XXH3_createState()) {
    if (!state_) throw std::bad_alloc();
    XXH3_128bits_reset(state_.get());
  }
  void add(std::span<const std::byte> bytes) noexcept {
    XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
  }
  void add(uint64_t number) noexcept { add(std::as_bytes(std::span(&number, 1))); }
  void add(std::string_view text) noexcept {
    add(text.size());
    add(std::as_bytes(std::span(text)));
  }
  ModelIdentity value() const noexcept {
    const XXH128_hash_t digest = XXH3_128bits_digest(state_.get());
    return {digest.high64, digest.low64};
  }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const noexcept { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
};

void add_weight_file(Hash& hash, const std::filesystem::path& path) {
  const Fd fd = open_file(path, O_RDONLY);
  const uint64_t size = file_size(fd, path);
  hash.add(path.filename().string());
  hash.add(size);
  std::vector<std::byte> bytes(std::min(size, kHeadBytes));
  read_exactly(fd, 0, bytes, path);
  hash.add(bytes);
  if (size <= kHeadBytes) return;
  bytes.resize(std::min(kSampleBytes, size - kHeadBytes));
  for (uint64_t i = 0; i <= kSamples; ++i) {
    const uint64_t last = size - bytes.size();
    read_exactly(fd, kHeadBytes + (last - kHeadBytes) / kSamples * i, bytes, path);
    hash.add(bytes);
  }
}

}  // namespace

std::string ModelIdentity::hex() const { return fmt::format("{:016x}{:016x}", high, low); }

ModelIdentity model_identity(const std::filesystem::path& folder, std::string_view settings) {
  Hash hash;
  hash.add(uint64_t{kStateVersion});
  hash.add(settings);
  hash.add(read_text_file(folder / "config.json", kMaxConfigBytes));
  std::vector<std::filesystem::path> weights;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors" || entry.path().extension() == ".gguf") {
      weights.push_back(entry.path());
    }
  }
  std::sort(weights.begin(), weights.end());
  for (const auto& path : weights) add_weight_file(hash, path);
  return hash.value();
}

}  // namespace mach
