// What a token costs: bytes that must be read from memory and multiply-adds that must be made, from the model's shape and
// formats. The physical limits that measured speeds are set against. Pure functions.
#pragma once

#include <cstdint>
#include <span>

#include "arch/expert_record.h"
#include "arch/held_weights.h"
#include "arch/model_config.h"
#include "arch/tensor_plan.h"
#include "quant/kv_row.h"

namespace mach::measure {

// One pass over a batch of sequences, a token each. Activations, scratch memory and what is written are not counted: they stay
// in the caches of the processor.
struct PassBytes {
  uint64_t resident = 0;  // matrices and vectors outside the routed experts, one embedding row per sequence
  uint64_t experts = 0;   // every distinct expert of the pass once
  uint64_t kv = 0;        // keys, values and recurrent states of all sequences
  uint64_t total() const noexcept { return resident + experts + kv; }
};

struct DecodePoint {
  uint32_t depth = 0;  // tokens in each sequence
  uint32_t batch = 1;
  KvElement kv_element = KvElement::kBF16;
  FloatWeights float_weights = FloatWeights::kEightBit;  // kKeep in exact mode
  // Distinct experts per MoE layer; negative: those of tokens that choose independently and uniformly.
  double experts_per_layer = -1;
};
// `sidecar`: the layers of an expert sidecar, where the experts are not in the plan.
PassBytes decode_bytes(const ModelConfig& config, const TensorPlan& plan, const DecodePoint& point,
                       std::span<const ExpertLayerSpec> sidecar = {});

// Distinct experts that `tokens` tokens choose in a layer when each chooses top_k of all at random.
double expected_experts(const MoeConfig& moe, uint32_t tokens) noexcept;

// Multiply-adds of tokens [depth, depth + tokens) of a sequence.
struct Macs {
  double matrices = 0;   // projections and experts
  double attention = 0;  // keys and values, recurrent states
  double head = 0;       // of the one token whose logits are wanted
  double total() const noexcept { return matrices + attention + head; }
};
Macs count_macs(const ModelConfig& config, uint32_t depth, uint32_t tokens);

}  // namespace mach::measure
