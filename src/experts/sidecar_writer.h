// Writes expert_sidecar/ (docs/SIDECAR.md): a layer file at a time, records in the order of their experts, layout.json
// last. Memory is bounded by one record. A layer file appears under its name when all its records are safely on the
// device; a run that ends early leaves whole layer files and a note of them, from which a later writer goes on, and no
// layout.json, so nothing that loads. Single owner.
//
//   SidecarWriter writer(checkpoint, config.model_type);
//   for (const ExpertLayerSpec& layer : source.layers()) {
//     if (writer.has_layer(layer.layer)) continue;  // from the run before
//     writer.begin_layer(layer);
//     for (uint32_t expert = 0; expert < layer.experts; ++expert) writer.append(record);
//     writer.end_layer();
//   }
//   writer.finish();
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "arch/sidecar_layout.h"
#include "base/aligned_buffer.h"
#include "base/file.h"
#include "experts/expert_view.h"

namespace mach {

class SidecarWriter {
 public:
  // Makes checkpoint/expert_sidecar. Layers that an interrupted writer of the same model_type left there are taken over
  // if `resume` says so, else they are written again. Throws kIo.
  SidecarWriter(const std::filesystem::path& checkpoint, const std::string& model_type, bool resume = true);

  // The layer is complete in its file already, written by an earlier run with the same layout.
  bool has_layer(const ExpertLayerSpec& spec) const noexcept;

  // Layers come in ascending order. Throws kIo (no room, say); kInternal for calls in the wrong order.
  void begin_layer(const ExpertLayerSpec& spec);
  void append(std::span<const std::byte> record);  // of the layer's record size
  void append(const ExpertView& expert);           // as it is stored elsewhere; has the layer's formats
  void end_layer();

  // Writes layout.json, the act that makes the folder a sidecar.
  void finish();

  const SidecarLayout& layout() const noexcept { return layout_; }  // layers that are complete

 private:
  std::filesystem::path progress_path() const;
  void remove_stale_files() const;
  void take_over();
  void insert(SidecarLayer layer);

  std::filesystem::path folder_;
  SidecarLayout layout_;
  SidecarLayer current_;
  std::optional<AtomicFile> file_;  // of current_
  AlignedBuffer staging_;           // one record
};

// XXH3-64 of a record, as layout.json keeps it.
uint64_t record_checksum(std::span<const std::byte> record) noexcept;

}  // namespace mach
