// A list of hot experts: what is accepted names experts of the model, each once, and is the same when it is written again.
#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string_view>

#include "mach/error.h"

#include "experts/hot_list.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::array<mach::ExpertLayerSpec, 2> kLayers = {
      {{.layer = 0, .experts = 8, .record = {}}, {.layer = 3, .experts = 128, .record = {}}}};
  mach::HotList list;
  try {
    list = mach::parse_hot_list({reinterpret_cast<const char*>(data), size}, "fuzz", kLayers);
  } catch (const mach::Error&) {  // the one way to refuse a list
    return 0;
  }
  std::set<mach::ExpertId> seen;
  for (const mach::ExpertUses& entry : list) {
    const bool known =
        (entry.id.layer == 0 && entry.id.expert < 8) || (entry.id.layer == 3 && entry.id.expert < 128);
    if (!known || !(entry.uses > 0) || !seen.insert(entry.id).second) __builtin_trap();
  }
  if (!(mach::parse_hot_list(mach::hot_list_text(list), "again", kLayers) == list)) __builtin_trap();
  return 0;
}
