#include "preflight/report_json.h"

#include <cmath>

#include <nlohmann/json.hpp>

namespace mach {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}
Json or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

// Shares and speeds, to as many digits as they mean.
double rounded(double value) { return std::round(value * 1e4) / 1e4; }

Json parameters_json(const CheckReport& report) {
  if (!report.parameters) return {};
  return {{"total", report.parameters->total},
          {"active", report.parameters->active},
          {"routed", report.parameters->routed},
          {"embedding", report.parameters->embedding}};
}

Json kv_json(const CheckReport& report) {
  if (!report.kv) return {};
  return {{"per_token", report.kv->per_token}, {"windows", report.kv->windows}, {"state", report.kv->state}};
}

Json artifacts_json(const ArtifactFacts& artifacts) {
  return {{"weights", artifacts.weights},
          {"tokenizer", artifacts.tokenizer},
          {"chat_template", or_null(artifacts.chat_template)},
          {"sidecar", artifacts.sidecar},
          {"sidecar_fault", or_null(artifacts.sidecar_fault)},
          {"draft_dir", or_null(artifacts.draft_dir)},
          {"draft_usable", artifacts.draft == DraftState::kUsable},
          {"draft_fault", or_null(artifacts.draft_fault)},
          {"mtp_block", artifacts.mtp_block}};
}

Json memory_json(const CheckReport& report) {
  if (!report.memory) return {};
  const MemoryEstimate& memory = *report.memory;
  return {{"exact", report.exact_sizes},
          {"context_length", memory.context},
          {"resident_weights", memory.resident_weights},
          {"experts", memory.experts},
          {"expert_count", memory.expert_count},
          {"copies", memory.copies},
          {"expert_copies", memory.expert_copies},
          {"cache",
           {{"paged", memory.cache.paged},
            {"windows", memory.cache.windows},
            {"compressed", memory.cache.compressed},
            {"recurrent", memory.cache.recurrent},
            {"staging", memory.cache.staging}}},
          {"draft", memory.draft},
          {"scratch", memory.scratch},
          {"process", memory.process},
          {"bank_floor", memory.bank_floor},
          {"read_staging", memory.read_staging},
          {"available", or_null(memory.available)},
          {"streaming",
           {{"verdict", fit_name(memory.streaming)},
            {"total", memory.streaming_total()},
            {"bank", memory.bank},
            {"bank_experts", memory.bank_experts},
            {"bank_share", rounded(memory.bank_share)},
            {"expected_hit_rate", rounded(memory.hit_rate)}}},
          {"resident", {{"verdict", fit_name(memory.resident)}, {"total", memory.resident_total()}}}};
}

Json range_json(const SpeedRange& range) {
  return {{"low", rounded(range.low)}, {"high", rounded(range.high)}, {"limit", range.limit}};
}

Json forecast_json(const CheckReport& report) {
  if (!report.forecast) return {};
  const Forecast& forecast = *report.forecast;
  return {{"kind", "forecast"},
          {"weight_bytes_per_token", forecast.weight_bytes},
          {"cache_bytes_per_token", forecast.cache_bytes},
          {"disk_bytes_per_token", static_cast<uint64_t>(std::llround(forecast.disk_bytes))},
          {"memory_bandwidth", forecast.rates.memory},
          {"disk_rate", or_null(forecast.rates.disk)},
          {"resident", range_json(forecast.resident)},
          {"streaming", forecast.streaming ? range_json(*forecast.streaming) : Json()}};
}

Json verdict_json(const PathVerdict& verdict) {
  return {{"status", path_status_name(verdict.status)}, {"reason", verdict.reason}};
}

}  // namespace

Json report_json(const CheckReport& report) {
  Json paths = Json::array();
  for (const PathCell& cell : report.paths) {
    Json entry = {{"path", cell.path}};
    entry.update(verdict_json(cell.verdict));
    paths.push_back(std::move(entry));
  }
  return {{"model", report.model},
          {"local", report.local},
          {"model_type", or_null(report.model_type)},
          {"supported", report.supported},
          {"problem", or_null(report.problem)},
          {"layout", report.layout},
          {"quant", report.quant},
          {"parameters", parameters_json(report)},
          {"kv_bytes", kv_json(report)},
          {"artifacts", artifacts_json(report.artifacts)},
          {"memory", memory_json(report)},
          {"forecast", forecast_json(report)},
          {"paths", std::move(paths)},
          {"verdict", report.verdict},
          {"serve_with", or_null(report.serve_with)},
          {"notes", report.notes}};
}

Json matrix_json(const PathMatrix& matrix) {
  Json out = Json::object();
  for (size_t p = 0; p < matrix.verdicts.size(); ++p) {
    Json line = Json::object();
    for (size_t t = 0; t < matrix.model_types.size(); ++t)
      line[matrix.model_types[t]] = verdict_json(matrix.verdicts[p][t]);
    out[std::string(serving_paths()[p].name)] = std::move(line);
  }
  return out;
}

}  // namespace mach
