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

}  // namespace
}  // namespace mach
