#include "arch/skipped_tensors.h"

#include <array>

namespace mach {
namespace {

struct Rule {
  std::string_view pattern;
  std::string_view reason;
};

constexpr std::string_view kVision = "vision tower";
constexpr std::string_view kAudio = "audio tower";
constexpr std::string_view kMtp = "multi-token prediction head";
constexpr std::string_view kRange = "activation range of a quantiser";

// First words of the name, with or without a leading "model." or "language_model.".
constexpr auto kBegins = std::to_array<Rule>({
    {"visual.", kVision},
    {"vision_tower.", kVision},
    {"vision_model.", kVision},
    {"vision_embedder.", kVision},
    {"embed_vision.", kVision},
    {"multi_modal_projector.", kVision},
    {"audio_tower.", kAudio},
    {"embed_audio.", kAudio},
    {"mtp.", kMtp},
});

constexpr auto kEnds = std::to_array<Rule>({
    {".rotary_emb.inv_freq", "rotary frequencies are computed"},
    {".rotary_emb.cos_cached", "rotary frequencies are computed"},
    {".rotary_emb.sin_cached", "rotary frequencies are computed"},
    {".input_min", kRange},
    {".input_max", kRange},
    {".output_min", kRange},
    {".output_max", kRange},
    {".input_scale", kRange},
    {".k_scale", kRange},
    {".v_scale", kRange},
    {".weight_shape", "shape of a packed weight"},
    {".weight_scale_inv", "scale beside an unquantised weight"},
    {".weight_scale", "scale beside an unquantised weight"},
    {".scale", "scale beside an unquantised weight"},
});

}  // namespace

std::string_view skip_reason(std::string_view name) noexcept {
  for (const std::string_view prefix : {"model.", "language_model.", "model."}) {
    for (const Rule& rule : kBegins) {
      if (name.starts_with(rule.pattern)) return rule.reason;
    }
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  }
  for (const Rule& rule : kEnds) {
    if (name.ends_with(rule.pattern)) return rule.reason;
  }
  return {};
}

}  // namespace mach
