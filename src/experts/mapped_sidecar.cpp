#include "experts/mapped_sidecar.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "mach/error.h"

#include "base/aligned_buffer.h"
#include "base/mapped_file.h"
#include "experts/expert_source.h"
#include "experts/expert_view.h"
#include "experts/resident_experts.h"

namespace mach {
namespace {

class ResidentSidecar final : public ExpertProvider {
 public:
  ResidentSidecar(std::vector<MappedFile> maps, std::vector<AlignedBuffer> copies,
                  std::vector<std::vector<ExpertWeights>> layers)
      : maps_(std::move(maps)), copies_(std::move(copies)), experts_(std::move(layers)) {}

  ExpertLease acquire(uint32_t layer, std::span<const uint32_t> experts, ExpertUse use) override {
    return experts_.acquire(layer, experts, use);
  }
  uint32_t max_lease(uint32_t layer) const noexcept override { return experts_.max_lease(layer); }
  void prefetch(uint32_t /*layer*/, std::span<const uint32_t> /*experts*/,
                PrefetchHint /*hint*/) noexcept override {}
  ExpertStatus status() const override {
    ExpertStatus status = experts_.status();
    status.source = "sidecar";
    return status;
  }

 private:
  std::vector<MappedFile> maps_;
  std::vector<AlignedBuffer> copies_;
  ResidentExperts experts_;
};

}  // namespace

std::unique_ptr<ExpertProvider> resident_sidecar(const std::filesystem::path& checkpoint,
                                                 const SidecarLayout& layout, RecordOrder order,
                                                 uint32_t layer_count, bool verify) {
  const auto source = open_sidecar_source(checkpoint, layout, verify, order);
  ReadContext context(make_reader(ReaderKind::kBuffered, source->files()));
  std::vector<MappedFile> maps;
  std::vector<AlignedBuffer> copies;
  std::vector<std::vector<ExpertWeights>> layers(layer_count);
  for (const SidecarLayer& layer : layout.layers) {
    if (layer.layer >= layers.size()) layers.resize(layer.layer + 1);
    const ExpertRecord& record = source->find(layer.layer)->record;
    const std::byte* base = nullptr;
    if (record == layer.record && !verify) {
      maps.push_back(MappedFile::open(checkpoint / kSidecarFolder / sidecar_layer_file(layer.layer)));
      if (maps.back().bytes().size() != layer.file_size()) {
        throw Error(ErrorCode::kIo, maps.back().path().string() + " changed while it was opened");
      }
      base = maps.back().bytes().data();
    } else {
      AlignedBuffer& copy =
          copies.emplace_back(layer.experts * record.size, kDirectIoAlignment, PageHint::kHuge);
      for (uint32_t expert = 0; expert < layer.experts; ++expert) {
        source->read({layer.layer, expert}, copy.bytes().subspan(expert * record.size, record.size), context);
      }
      base = copy.data();
    }
    for (uint32_t expert = 0; expert < layer.experts; ++expert) {
      layers[layer.layer].push_back(bind_record(record, base + expert * record.size));
    }
  }
  return std::make_unique<ResidentSidecar>(std::move(maps), std::move(copies), std::move(layers));
}

}  // namespace mach
