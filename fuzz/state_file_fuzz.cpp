// Saved prefixes of the disk cache: whatever stands in such a file is refused with an Error or fills a state of every
// cache kind. Both checksums are also mended, so that what lies behind them is reached.
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include <xxhash.h>

#include "mach/error.h"

#include "engine/prefix_cache/state_file.h"
#include "model/caches/compressed_kv.h"
#include "model/caches/delta_state.h"
#include "model/caches/paged_kv.h"
#include "model/caches/ring_kv.h"
#include "model/state_io.h"

namespace {

using namespace mach;

SequenceState make_state() {
  constexpr KvShape kKv{.kv_heads = 1, .head_dim = 2, .element = KvElement::kBF16};
  constexpr DeltaShape kDelta{
      .key_heads = 1, .value_heads = 1, .key_dim = 2, .value_dim = 2, .channels = 3, .taps = 4};
  const CompressedShape compressed{.head_dim = 2,
                                   .window = 4,
                                   .element = KvElement::kF32,
                                   .entries = PoolShape{.ratio = 4, .overlap = true, .dim = 2},
                                   .index = PoolShape{.ratio = 4, .overlap = true, .dim = 1}};
  std::vector<std::unique_ptr<LayerCache>> layers;
  layers.push_back(std::make_unique<PagedKv>(kKv));
  layers.push_back(std::make_unique<RingKv>(kKv, 4, 2));
  layers.push_back(std::make_unique<DeltaState>(kDelta, 2));
  layers.push_back(std::make_unique<CompressedKv>(compressed, 2));
  return SequenceState(std::move(layers));
}

void put_u64(std::vector<std::byte>& file, size_t offset, uint64_t value) {
  std::memcpy(file.data() + offset, &value, sizeof value);
}

// Where the header ends by its own count, its checksum follows; the state's stands at the end of the file.
std::vector<std::byte> with_checksums(std::span<const std::byte> input) {
  std::vector<std::byte> file(input.begin(), input.end());
  constexpr size_t kCountOffset = 48;
  constexpr size_t kStateBytesOffset = 64;
  constexpr size_t kTokensOffset = 72;
  if (file.size() < kTokensOffset + 16) return file;
  uint64_t count = 0;
  std::memcpy(&count, file.data() + kCountOffset, sizeof count);
  if (count > (file.size() - kTokensOffset - 16) / sizeof(TokenId)) return file;
  const size_t header_end = kTokensOffset + count * sizeof(TokenId);
  const size_t state = header_end + 8;
  put_u64(file, kStateBytesOffset, file.size() - state);
  put_u64(file, header_end,
          XXH3_64bits_withSeed(file.data() + 32, header_end - 32, XXH3_64bits(file.data(), 16)));
  put_u64(file, file.size() - 8, XXH3_64bits(file.data() + state, file.size() - 8 - state));
  return file;
}

void read(std::span<const std::byte> file) {
  try {
    const StateFileHeader header = parse_state_file(file, file.size(), "fuzz");
    StateReader reader(file.subspan(header.state_offset), "fuzz");
    SequenceState state = make_state();
    state.load(reader);
    const StateSnapshot snapshot = state.snapshot();
    SequenceState other = make_state();
    other.restore(snapshot);
    if (other.length() != state.length()) __builtin_trap();
  } catch (const Error&) {
    // the one way to refuse a file
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  read(bytes);
  read(with_checksums(bytes));
  return 0;
}
