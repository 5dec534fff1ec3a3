#include "convert/sidecar_tools.h"

#include <fmt/format.h>

#include "mach/error.h"

#include "experts/sidecar_writer.h"

namespace mach {
namespace {

constexpr uint64_t kSpareBytes = uint64_t{64} << 20;  // of the disk, for the file system

class Meter {
 public:
  // `stopped` is the message of the error where the caller wants no more.
  Meter(const ByteProgress& progress, uint64_t total, const char* stopped)
      : progress_(progress), total_(total), stopped_(stopped) {}
  void add(uint64_t bytes) {
    done_ += bytes;
    if (progress_ && !progress_(done_, total_)) throw Error(ErrorCode::kCancelled, stopped_);
  }

 private:
  const ByteProgress& progress_;
  uint64_t total_, done_ = 0;
  const char* stopped_;
};

uint64_t layer_bytes(const ExpertLayerSpec& layer) { return layer.experts * layer.record.size; }

}  // namespace

uint64_t export_sidecar(const SourceCheckpoint& source, const ByteProgress& progress) {
  const std::string folder = (source.directory.path() / kSidecarFolder).string();
  if (!source.experts)
    throw Error(ErrorCode::kInvalidRequest, source.directory.path().string() + ": has no routed experts");
  if (source.experts->name() == "sidecar") {
    throw Error(ErrorCode::kInvalidRequest,
                folder + ": is there already; --verify checks it, remove it to write it anew");
  }
  SidecarWriter writer(source.directory.path(), source.config.model_type);
  uint64_t total = 0, missing = 0;
  for (const ExpertLayerSpec& layer : source.experts->layers()) {
    total += layer_bytes(layer);
    missing += writer.has_layer(layer) ? 0 : layer_bytes(layer);
  }
  const uint64_t room = std::filesystem::space(source.directory.path()).available;
  if (room < missing + kSpareBytes) {
    throw Error(ErrorCode::kOutOfBudget,
                fmt::format("{}: {} more bytes are needed, {} are free on the disk", folder, missing, room));
  }
  Meter meter(progress, total, "stopped; the same command goes on where it was");
  ReadContext context(make_reader(ReaderKind::kBuffered, source.experts->files()));
  for (const ExpertLayerSpec& layer : source.experts->layers()) {
    if (writer.has_layer(layer)) {
      meter.add(layer_bytes(layer));
      continue;
    }
    AlignedBuffer record(layer.record.size, kDirectIoAlignment);
    writer.begin_layer(layer);
    for (uint32_t expert = 0; expert < layer.experts; ++expert) {
      source.experts->read({layer.layer, expert}, record.bytes(), context);
      writer.append(std::span<const std::byte>(record.bytes()));
      meter.add(record.size());
    }
    writer.end_layer();
  }
  writer.finish();
  return total;
}

SidecarCheck verify_sidecar(const std::filesystem::path& checkpoint, const ByteProgress& progress) {
  auto layout = read_sidecar_layout(checkpoint);
  if (!layout) {
    throw Error(ErrorCode::kNotFound,
                (checkpoint / kSidecarFolder / kSidecarLayoutFile).string() + ": does not exist");
  }
  const auto source = open_sidecar_source(checkpoint, std::move(*layout), true, RecordOrder::kFast);
  uint64_t total = 0;
  for (const ExpertLayerSpec& layer : source->layers()) total += layer_bytes(layer);
  Meter meter(progress, total, "stopped before the end");
  ReadContext context(make_reader(ReaderKind::kBuffered, source->files()));
  SidecarCheck check;
  for (const ExpertLayerSpec& layer : source->layers()) {
    AlignedBuffer record(layer.record.size, kDirectIoAlignment);
    for (uint32_t expert = 0; expert < layer.experts; ++expert) {
      try {
        source->read({layer.layer, expert}, record.bytes(), context);
      } catch (const Error& error) {  // the other records are worth knowing about
        if (error.code() != ErrorCode::kCorruptFile) throw;
        check.faults.emplace_back(error.what());
      }
      ++check.records;
      check.bytes += record.size();
      meter.add(record.size());
    }
  }
  return check;
}

}  // namespace mach
