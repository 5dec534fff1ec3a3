#include "model/families/family.h"

#include "model/caches/paged_kv.h"
#include "model/caches/ring_kv.h"
#include "model/pass.h"
#include "model/workspace.h"

namespace mach {

std::unique_ptr<KvCache> make_kv_cache(const LayerConfig& layer, const ModelParts& parts) {
  const KvShape shape{.kv_heads = layer.kv_heads,
                      .head_dim = layer.head_dim,
                      .element = fitting_kv_element(parts.options.kv_element, layer.head_dim)};
  if (layer.window == 0) return std::make_unique<PagedKv>(shape, parts.kv_memory);
  return std::make_unique<RingKv>(shape, layer.window, parts.options.rollback_tokens);
}

std::vector<Rope> make_ropes(const ModelConfig& config) { return {config.ropes.begin(), config.ropes.end()}; }

std::span<const RopeTables> make_rope_tables(Workspace& workspace, const Pass& pass,
                                             std::span<const Rope> ropes) {
  const auto tables = workspace.arena().take<RopeTables>(ropes.size());
  for (size_t i = 0; i < ropes.size(); ++i) tables[i] = ropes[i].tables(workspace, pass.positions());
  return tables;
}

}  // namespace mach
