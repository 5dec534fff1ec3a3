// Random-weight checkpoints of real shape: what measures a machine as the released model would, without its download. Weights
// are noise of sane magnitude, routing follows a wanted distribution (routing_design.h). The same options and seed give the
// same bytes on every machine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/thread_pool.h"
#include "synth/checkpoint_writer.h"
#include "synth/model_shapes.h"

namespace mach::synth {

struct SynthOptions {
  std::string like;            // a name of model_shapes(), or the path of a config.json
  uint32_t layers = 0;         // the first so many; 0: all
  std::optional<Quant> quant;  // empty: the shape's own (affine4 for a config.json)
  Routing routing;
  uint64_t seed = 1;
  bool sidecar = false;       // the engine layout: routed experts in expert_sidecar/ instead of the shards
  std::filesystem::path out;  // appears when it is complete
};

struct SynthResult {
  uint64_t bytes = 0;
  uint64_t tensors = 0;
};

// Throws Error{kInvalidRequest, kUnsupported} naming the option, kOutOfBudget (disk), kIo, kCancelled (progress said so).
SynthResult synthesize(const SynthOptions& options, ThreadPool& pool, const WriteProgress& progress);

// "uniform" or "zipf:S". Throws Error{kInvalidRequest}.
Routing parse_routing(std::string_view text);

}  // namespace mach::synth
