#include "model/state_io.h"

#include <gtest/gtest.h>

#include "mach/error.h"

#include "model/caches/paged_kv.h"
#include "model/caches/ring_kv.h"
#include "model/sequence_state.h"

namespace mach {
namespace {

constexpr KvShape kShape{.kv_heads = 1, .head_dim = 2, .element = KvElement::kF32};

SequenceState make_state() {
  std::vector<std::unique_ptr<LayerCache>> layers;
  layers.push_back(std::make_unique<PagedKv>(kShape));
  layers.push_back(nullptr);  // shares layer 0's
  layers.push_back(std::make_unique<RingKv>(kShape, 4, 2));
  return SequenceState(std::move(layers));
}

void append(SequenceState& state, uint32_t tokens) {
  const uint32_t start = state.length();
  for (size_t layer : {0, 2}) {
    auto& cache = state.layer<KvCache>(layer);
    cache.stage(tokens);
    for (uint32_t i = 0; i < tokens; ++i) {
      const float row[2] = {static_cast<float>(start + i), static_cast<float>(layer)};
      cache.write(select_kernel_set(kNoFeatures), start + i, row, row);
    }
  }
  state.commit();
}

std::vector<std::byte> saved(const SequenceState& state) {
  StateWriter writer;
  state.save(writer);
  return writer.finish();
}

TEST(SequenceState, SavedStateLoadsAndSavesTheSameBytes) {
  auto state = make_state();
  append(state, 9);
  const auto bytes = saved(state);
  auto copy = make_state();
  StateReader reader(bytes, "state");
  copy.load(reader);
  reader.expect_end();
  EXPECT_EQ(copy.length(), 9U);
  EXPECT_EQ(saved(copy), bytes);
}

TEST(SequenceState, ASinkGetsTheSameBytesInPieces) {
  auto state = make_state();
  append(state, 200000);
  std::vector<std::byte> pieced;
  size_t pieces = 0;
  StateWriter writer([&](std::span<const std::byte> piece) {
    pieced.insert(pieced.end(), piece.begin(), piece.end());
    ++pieces;
  });
  state.save(writer);
  EXPECT_TRUE(writer.finish().empty());
  EXPECT_GT(pieces, 3U);
  EXPECT_EQ(pieced, saved(state));
}

TEST(SequenceState, LengthAndBoundsAreThoseOfItsLayers) {
  auto state = make_state();
  EXPECT_EQ(state.length(), 0U);
  append(state, 9);
  append(state, 1);
  EXPECT_EQ(state.truncatable_to(), 8U);  // the ring's rollback of 2
  state.truncate(8);
  EXPECT_EQ(state.length(), 8U);
  const auto snapshot = state.snapshot();
  append(state, 5);
  state.restore(snapshot);
  EXPECT_EQ(state.length(), 8U);
  EXPECT_GT(state.bytes(), 0U);
}

TEST(SequenceState, EveryFlippedByteIsRefusedAndLeavesTheStateEmpty) {
  auto state = make_state();
  append(state, 5);
  const auto bytes = saved(state);
  for (size_t i = 0; i < bytes.size(); ++i) {
    auto damaged = bytes;
    damaged[i] ^= std::byte{0x10};
    EXPECT_THROW(
        {
          StateReader reader(damaged, "state");
          make_state().load(reader);
        },
        Error)
        << i;
  }
}

TEST(SequenceState, TruncatedAndForeignStatesAreRefused) {
  auto state = make_state();
  append(state, 5);
  const auto bytes = saved(state);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(StateReader(std::span(bytes).first(size), "state"), Error);
  }
  // Right checksum, wrong content: one layer less.
  std::vector<std::unique_ptr<LayerCache>> layers;
  layers.push_back(std::make_unique<PagedKv>(kShape));
  SequenceState other(std::move(layers));
  StateReader reader(bytes, "state");
  EXPECT_THROW(other.load(reader), Error);
  EXPECT_EQ(other.length(), 0U);
}

TEST(StateReader, ErrorsNameTheFileAndTheField) {
  StateWriter writer;
  writer.number(3);
  const auto bytes = writer.finish();
  StateReader reader(bytes, "prefix.bin");
  try {
    reader.expect(4, "window");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorruptFile);
    EXPECT_STREQ(error.what(), "prefix.bin: saved state: window is 3, not 4");
  }
}

TEST(StateReader, CountsAreHeldAgainstTheBytesThatFollow) {
  StateWriter writer;
  writer.number(1U << 30);
  const auto bytes = writer.finish();
  StateReader reader(bytes, "state");
  EXPECT_THROW(reader.count(16, "length"), Error);
}

// Pieces on both sides of the reader's buffer, and one larger than it.
std::vector<std::byte> large_state() {
  StateWriter writer;
  writer.text("begin");
  for (uint64_t size :
       {uint64_t{1} << 20, (uint64_t{1} << 20) - 40, uint64_t{5} << 20, uint64_t{3}, uint64_t{1} << 19}) {
    std::vector<std::byte> piece(size);
    for (size_t i = 0; i < piece.size(); ++i) piece[i] = std::byte(i * 7 + size);
    writer.number(size);
    writer.bytes(piece);
  }
  writer.text("end");
  return writer.finish();
}

void expect_large_state(StateReader& reader) {
  reader.expect_text("begin");
  for (int i = 0; i < 5; ++i) {
    const uint64_t size = reader.count(1, "size");
    const auto piece = reader.bytes(size, "piece");
    ASSERT_EQ(piece.size(), size);
    for (size_t at = 0; at < size; ++at) ASSERT_EQ(piece[at], std::byte(at * 7 + size));
  }
  reader.expect_text("end");
  reader.expect_end();
}

StateReader::ReadAt read_from(const std::vector<std::byte>& bytes) {
  return [&bytes](uint64_t offset, std::span<std::byte> out) {
    ASSERT_LE(offset + out.size(), bytes.size());
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
  };
}

TEST(StateReader, ReadsThroughABufferWhatItReadsFromMemory) {
  const auto bytes = large_state();
  StateReader memory(bytes, "state");
  expect_large_state(memory);
  std::vector<std::byte> window(size_t{2} << 20);
  StateReader buffered(read_from(bytes), bytes.size(), window, "state");
  expect_large_state(buffered);
}

TEST(StateReader, ABufferedStateIsCheckedLikeOneInMemory) {
  std::vector<std::byte> window(size_t{1} << 20);
  const auto bytes = large_state();
  for (const size_t at : {size_t{0}, size_t{9}, bytes.size() / 3, bytes.size() - 12, bytes.size() - 1}) {
    auto damaged = bytes;
    damaged[at] ^= std::byte{1};
    EXPECT_THROW(StateReader(read_from(damaged), damaged.size(), window, "state"), Error) << at;
  }
  for (const size_t size : {size_t{0}, size_t{15}, size_t{17}, bytes.size() - 1}) {
    EXPECT_THROW(StateReader(read_from(bytes), size, window, "state"), Error) << size;
  }
  StateReader reader(read_from(bytes), bytes.size(), window, "state");
  EXPECT_THROW(reader.bytes(bytes.size(), "too much"), Error);
}

}  // namespace
}  // namespace mach
