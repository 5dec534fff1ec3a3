// Records of expert_sidecar/: one aligned read each.
#include <fmt/format.h>

#include "mach/error.h"

#include "experts/expert_source.h"
#include "experts/expert_view.h"
#include "experts/plane_ranges.h"
#include "experts/sidecar_writer.h"

namespace mach {
namespace {

std::vector<std::filesystem::path> layer_files(const std::filesystem::path& checkpoint,
                                               const SidecarLayout& layout) {
  std::vector<std::filesystem::path> files;
  files.reserve(layout.layers.size());
  for (const SidecarLayer& layer : layout.layers) {
    files.push_back(checkpoint / kSidecarFolder / sidecar_layer_file(layer.layer));
  }
  return files;
}

class SidecarSource final : public ExpertSource {
 public:
  SidecarSource(const std::filesystem::path& checkpoint, SidecarLayout layout, bool verify, RecordOrder order)
      : layout_(std::move(layout)),
        specs_(expert_layers(layout_)),
        files_(layer_files(checkpoint, layout_)),
        verify_(verify) {
    for (ExpertLayerSpec& spec : specs_) spec.record = reordered(spec.record, order);
    staging_ = read_staging(layout_, order);
  }

  std::span<const ExpertLayerSpec> layers() const noexcept override { return specs_; }
  const ReadFiles& files() const noexcept override { return files_; }
  uint64_t staging_bytes() const noexcept override { return staging_; }
  std::string_view name() const noexcept override { return "sidecar"; }

  void read(ExpertId id, std::span<std::byte> record, ReadContext& context) const override {
    const SidecarLayer* layer = layout_.find(id.layer);
    if (layer == nullptr || id.expert >= layer->experts) {
      throw Error(ErrorCode::kInternal, "the sidecar has no " + to_string(id));
    }
    const auto file = static_cast<size_t>(layer - layout_.layers.data());
    const ExpertRecord& wanted = specs_[file].record;
    const bool as_stored = wanted == layer->record;
    const std::span<std::byte> into =
        (as_stored ? record : context.staging(staging_)).first(layer->record.size);
    try {
      files_.check_unchanged(file);
      const ReadPart part{layer->record_offset(id.expert), into, into.size()};
      context.reader().read(file, std::span(&part, 1));
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("{}: {}", to_string(id), error.what()));
    }
    if (verify_) verify(id, *layer, file, into);
    if (!as_stored) fill_record(wanted, view_record(layer->record, into.data()), record);
  }

 private:
  void verify(ExpertId id, const SidecarLayer& layer, size_t file, std::span<const std::byte> record) const {
    const uint64_t found = record_checksum(record);
    const uint64_t wanted = layer.checksums[id.expert];
    if (found == wanted) return;
    throw Error(ErrorCode::kCorruptFile,
                fmt::format("{}: {} has checksum {:016x}, must have {:016x}: the file is damaged",
                            files_.path(file).string(), to_string(id), found, wanted));
  }

  SidecarLayout layout_;
  std::vector<ExpertLayerSpec> specs_;
  ReadFiles files_;
  uint64_t staging_ = 0;
  bool verify_;
};

}  // namespace

std::unique_ptr<ExpertSource> open_sidecar_source(const std::filesystem::path& checkpoint,
                                                  SidecarLayout layout, bool verify, RecordOrder order) {
  check_sidecar_files(layout, checkpoint);
  return std::make_unique<SidecarSource>(checkpoint, std::move(layout), verify, order);
}

}  // namespace mach
