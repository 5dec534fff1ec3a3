#include "synth/checkpoint_writer.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/file.h"

namespace mach::synth {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;
constexpr uint64_t kSpareBytes = uint64_t{64} << 20;  // of the disk, for headers and the file system

// Consecutive rows of one tensor, and where they go in the file.
struct Piece {
  const SynthTensor* tensor;
  uint64_t first_row, rows, offset;
};

// Counts bytes for the caller; the first thread that is told to stop tells all.
class ProgressCounter {
 public:
  ProgressCounter(const WriteProgress& progress, uint64_t total) : progress_(progress), total_(total) {}

  void add(uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    done_ += bytes;
    if (progress_ && !progress_(done_, total_))
      throw Error(ErrorCode::kCancelled, "writing the checkpoint was stopped");
  }

 private:
  const WriteProgress& progress_;
  const uint64_t total_;
  std::mutex mutex_;
  uint64_t done_ = 0;  // under mutex_
};

std::vector<std::span<const SynthTensor>> split_shards(std::span<const SynthTensor> tensors, uint64_t limit) {
  std::vector<std::span<const SynthTensor>> shards;
  size_t first = 0;
  uint64_t bytes = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (i > first && bytes + tensors[i].bytes() > limit) {
      shards.push_back(tensors.subspan(first, i - first));
      first = i;
      bytes = 0;
    }
    bytes += tensors[i].bytes();
  }
  shards.push_back(tensors.subspan(first));
  return shards;
}

std::vector<Piece> split_pieces(std::span<const SynthTensor> tensors, uint64_t offset) {
  std::vector<Piece> pieces;
  for (const SynthTensor& tensor : tensors) {
    const uint64_t step = std::max<uint64_t>(1, kPieceBytes / tensor.row_bytes);
    for (uint64_t row = 0; row < tensor.rows; row += step) {
      const uint64_t rows = std::min(step, tensor.rows - row);
      pieces.push_back({&tensor, row, rows, offset});
      offset += rows * tensor.row_bytes;
    }
  }
  return pieces;
}

void write_shard(const std::filesystem::path& path, std::span<const SynthTensor> tensors, ThreadPool& pool,
                 ProgressCounter& progress) {
  std::vector<TensorSpec> specs;
  for (const SynthTensor& tensor : tensors) specs.push_back(tensor.spec);
  const std::string header = safetensors_header_text(specs, {{"format", "mlx"}});
  AtomicFile file(path);
  file.write(header);
  const std::vector<Piece> pieces = split_pieces(tensors, header.size());
  std::vector<std::vector<std::byte>> buffers(pool.threads());
  pool.run(pieces.size(), [&](size_t i, size_t worker) {
    const Piece& piece = pieces[i];
    std::vector<std::byte>& buffer = buffers[worker];
    buffer.resize(piece.rows * piece.tensor->row_bytes);
    piece.tensor->fill(piece.first_row, buffer);
    file.write_at(piece.offset, buffer);
    progress.add(buffer.size());
  });
  file.commit();
}

}  // namespace

void write_shards(const std::filesystem::path& folder, std::span<const SynthTensor> tensors, ThreadPool& pool,
                  const WriteProgress& progress, uint64_t shard_bytes) {
  uint64_t total = 0;
  for (const SynthTensor& tensor : tensors) total += tensor.bytes();
  const uint64_t room = std::filesystem::space(folder).available;
  if (room < total + kSpareBytes) {
    throw Error(ErrorCode::kOutOfBudget,
                fmt::format("{}: the checkpoint takes {} bytes, {} are free", folder.string(), total, room));
  }
  const auto shards = split_shards(tensors, shard_bytes);
  ProgressCounter counter(progress, total);
  nlohmann::ordered_json map = nlohmann::ordered_json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    write_shard(folder / name, shards[i], pool, counter);
    for (const SynthTensor& tensor : shards[i]) map[tensor.spec.name] = name;
  }
  const nlohmann::ordered_json index = {{"metadata", {{"total_size", total}}}, {"weight_map", map}};
  write_file_atomically(folder / "model.safetensors.index.json", index.dump(1) + "\n");
}

}  // namespace mach::synth
