#include "synth/synthesize.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/file.h"
#include "base/new_folder.h"
#include "io/json.h"
#include "synth/sidecar_output.h"
#include "synth/synth_config.h"

namespace mach::synth {
namespace {

constexpr double kMaxZipf = 4.0;
constexpr uint64_t kMaxConfigBytes = uint64_t{16} << 20;

struct Source {
  nlohmann::ordered_json config;
  Quant quant;
};

Source find_source(const std::string& like) {
  std::string known;
  for (const ModelShape& shape : model_shapes()) {
    if (shape.name == like) return {nlohmann::ordered_json::parse(shape.config), shape.quant};
    known += fmt::format("{}, ", shape.name);
  }
  if (like.ends_with(".json")) {
    return {parse_ordered_json(read_text_file(like, kMaxConfigBytes), like), Quant::kAffine4};
  }
  throw Error(
      ErrorCode::kInvalidRequest,
      fmt::format("like: \"{}\" is no known shape, must be {}or the path of a config.json", like, known));
}

}  // namespace

Routing parse_routing(std::string_view text) {
  if (text == "uniform") return {};
  constexpr std::string_view kZipf = "zipf:";
  if (text.starts_with(kZipf)) {
    double exponent = 0;
    const auto digits = text.substr(kZipf.size());
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
    if (error == std::errc() && end == digits.data() + digits.size() && exponent >= 0 && exponent <= kMaxZipf)
      return {exponent};
  }
  throw Error(ErrorCode::kInvalidRequest,
              fmt::format("routing: \"{}\" must be uniform or zipf:S with S from 0 to {}", text, kMaxZipf));
}

SynthResult synthesize(const SynthOptions& options, ThreadPool& pool, const WriteProgress& progress) {
  const Source source = find_source(options.like);
  const Quant quant = options.quant.value_or(source.quant);
  nlohmann::ordered_json json = synthetic_config(source.config, options.layers, quant);
  const ModelConfig config = parse_model_config(nlohmann::json(json), options.like);

  NewFolder folder(options.out);
  const std::vector<SynthTensor> tensors = plan_storage(config, quant, options.routing, options.seed, pool);
  if (options.sidecar) {
    // Ctrl-C and progress see one piece of work.
    std::vector<SynthTensor> resident;
    uint64_t resident_bytes = 0, expert_bytes = 0;
    for (const SynthTensor& tensor : tensors) {
      (is_expert_tensor(tensor) ? expert_bytes : resident_bytes) += tensor.bytes();
      if (!is_expert_tensor(tensor)) resident.push_back(tensor);
    }
    const uint64_t room = std::filesystem::space(folder.partial()).available;
    if (room < resident_bytes + expert_bytes) {
      throw Error(ErrorCode::kOutOfBudget,
                  fmt::format("{}: the checkpoint takes {} bytes, {} are free", options.out.string(),
                              resident_bytes + expert_bytes, room));
    }
    write_shards(folder.partial(), resident, pool, [&](uint64_t done, uint64_t total) {
      return !progress || progress(done, total + expert_bytes);
    });
    write_sidecar(folder.partial(), config, tensors, pool, [&](uint64_t done, uint64_t total) {
      return !progress || progress(resident_bytes + done, resident_bytes + total);
    });
  } else {
    write_shards(folder.partial(), tensors, pool, progress);
  }
  json["mach_synth"] = {{"like", options.like},
                        {"quant", quant_name(quant)},
                        {"zipf", options.routing.zipf},
                        {"seed", options.seed}};
  // Sampling from the whole distribution: greedy text of random weights soon repeats itself.
  write_file_atomically(folder.partial() / "generation_config.json",
                        "{\"do_sample\": true, \"temperature\": 1.0, \"top_p\": 1.0, \"top_k\": 0}\n");
  write_file_atomically(folder.partial() / "config.json", json.dump(1) + "\n");
  folder.commit();

  SynthResult result{.tensors = tensors.size()};
  for (const SynthTensor& tensor : tensors) result.bytes += tensor.bytes();
  return result;
}

}  // namespace mach::synth
