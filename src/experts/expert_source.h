// Where the records of routed experts come from: a sidecar, or the shards of a checkpoint, stacked or sliced. A source
// reads one expert into memory in the one form that kernels take; an expert bank does not know which source it has.
// Thread-safe: any number of threads may read at once, each with a ReadContext of its own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "arch/sidecar_layout.h"
#include "arch/tensor_plan.h"
#include "base/aligned_buffer.h"
#include "io/file_reader.h"
#include "io/read_files.h"

namespace mach {

struct ExpertId {
  uint32_t layer = 0;
  uint32_t expert = 0;
  auto operator<=>(const ExpertId&) const = default;  // NOLINT(modernize-use-nullptr): the compiler's own 0
};
std::string to_string(ExpertId id);  // "layer 3, expert 17"

// What a thread needs to read: a way, and memory for what is not in its final form.
class ReadContext {
 public:
  explicit ReadContext(std::unique_ptr<FileReader> reader) : reader_(std::move(reader)) {}
  FileReader& reader() const noexcept { return *reader_; }
  // At least `size` bytes, aligned for direct reads, valid until the next call.
  std::span<std::byte> staging(uint64_t size);

 private:
  std::unique_ptr<FileReader> reader_;
  AlignedBuffer staging_;
};

class ExpertSource {
 public:
  ExpertSource() = default;
  ExpertSource(const ExpertSource&) = delete;
  ExpertSource& operator=(const ExpertSource&) = delete;
  virtual ~ExpertSource() = default;

  // Ascending by layer.
  virtual std::span<const ExpertLayerSpec> layers() const noexcept = 0;
  const ExpertLayerSpec* find(uint32_t layer) const noexcept;

  // The files that reads go to, for making readers.
  virtual const ReadFiles& files() const noexcept = 0;

  // Fills `record` (record.size bytes of the layer, aligned for direct reads). Throws Error{kIo, kCorruptFile} naming
  // file, layer and expert; `record` is then undefined.
  virtual void read(ExpertId id, std::span<std::byte> record, ReadContext& context) const = 0;

  // The most staging that one read takes.
  virtual uint64_t staging_bytes() const noexcept = 0;

  virtual std::string_view name() const noexcept = 0;  // "sidecar", "stacked", "sliced"
};

// Of a folder whose layout has been read. Records come in `order`, which costs nothing where they are stored so. With
// `verify` every record is held against its checksum. Throws kNotFound, kCorruptFile (check_sidecar_files) or kIo.
std::unique_ptr<ExpertSource> open_sidecar_source(const std::filesystem::path& checkpoint,
                                                  SidecarLayout layout, bool verify,
                                                  RecordOrder order = RecordOrder::kRows);

// Of experts that lie in safetensors shards. `shards` are the paths in the order of the plan's shard numbers.
std::unique_ptr<ExpertSource> open_checkpoint_source(std::vector<std::filesystem::path> shards,
                                                     const TensorPlan& plan,
                                                     RecordOrder order = RecordOrder::kRows);

}  // namespace mach
