#include "preflight/report_text.h"

#include <algorithm>

#include <fmt/format.h>

namespace mach {
namespace {

constexpr int kLabelWidth = 13;

std::string gigabytes(double bytes) {
  const double value = bytes / 1e9;
  return fmt::format("{:.{}f} GB", value, value < 0.0995 ? 3 : value < 9.95 ? 2 : 1);
}
std::string gigabytes(uint64_t bytes) { return gigabytes(static_cast<double>(bytes)); }

std::string percent(double share) { return fmt::format("{:.0f} %", 100.0 * share); }

void add_line(std::string& out, std::string_view label, std::string_view text) {
  out += fmt::format("{:<{}}{}\n", label.empty() ? "" : fmt::format("{}:", label), kLabelWidth, text);
}

std::string billions(uint64_t count) { return fmt::format("{:.3g} B", static_cast<double>(count) / 1e9); }

void add_artifacts(const ArtifactFacts& artifacts, std::string& out) {
  const auto yes_no = [](bool there) { return there ? "yes" : "no"; };
  const std::string draft = artifacts.draft_dir.empty()              ? "none"
                            : artifacts.draft == DraftState::kUsable ? artifacts.draft_dir
                                                                     : artifacts.draft_dir + " (unusable)";
  add_line(out, "artifacts",
           fmt::format("sidecar={}, draft_dir={}, mtp_block={}, tokenizer={}, chat_template={}, weights={}",
                       artifacts.sidecar_fault.empty() ? yes_no(artifacts.sidecar) : "broken", draft,
                       yes_no(artifacts.mtp_block), yes_no(artifacts.tokenizer),
                       yes_no(artifacts.chat_template), yes_no(artifacts.weights)));
}

void add_memory(const CheckReport& report, std::string& out) {
  if (!report.memory) {
    add_line(out, "memory", "unavailable: the format of the experts is not known");
    return;
  }
  const MemoryEstimate& memory = *report.memory;
  const bool streams = memory.experts > 0;
  add_line(
      out, "memory",
      fmt::format("verdict={}, experts={}, kv@{}={}, working_set={}{}",
                  fit_name(memory.resident == Fit::kFits ? memory.resident : memory.streaming),
                  gigabytes(memory.experts), memory.context, gigabytes(memory.cache.steady()),
                  gigabytes(memory.bank_floor), report.exact_sizes ? "" : " (announced by config.json)"));
  add_line(
      out, "",
      fmt::format(
          "weights besides experts {}, copies {}, cache {} + {} while a prompt runs, scratch {}, draft {}, "
          "program {}",
          gigabytes(memory.resident_weights), gigabytes(memory.copies), gigabytes(memory.cache.steady()),
          gigabytes(memory.cache.staging), gigabytes(memory.scratch), gigabytes(memory.draft),
          gigabytes(memory.process)));
  const std::string of =
      memory.available ? fmt::format(" of {} available", gigabytes(*memory.available)) : "";
  add_line(out, "resident",
           fmt::format("{}: {}{}", fit_name(memory.resident), gigabytes(memory.resident_total()), of));
  if (!streams) return;
  add_line(out, "streaming",
           fmt::format("{}: {}{} with a bank of {} ({} of {} experts, {}; expected hits {})",
                       fit_name(memory.streaming), gigabytes(memory.streaming_total()), of,
                       gigabytes(memory.bank), memory.bank_experts, memory.expert_count,
                       percent(memory.bank_share), percent(memory.hit_rate)));
}

std::string speed(const SpeedRange& range) {
  return fmt::format("{:.2g} to {:.2g} tokens/s, limited by {}", range.low, range.high, range.limit);
}

void add_forecast(const CheckReport& report, std::string& out) {
  if (!report.memory) return;
  if (!report.forecast) {
    add_line(out, "forecast", "none: give --bandwidth GB/s, or run `mach doctor --save` once");
    return;
  }
  const Forecast& forecast = *report.forecast;
  add_line(
      out, "forecast",
      fmt::format("(not a measurement) {} per token from memory at {}/s",
                  gigabytes(forecast.weight_bytes + forecast.cache_bytes), gigabytes(forecast.rates.memory)));
  add_line(out, "", "resident: " + speed(forecast.resident));
  if (report.memory->experts == 0) return;
  if (forecast.streaming) {
    add_line(
        out, "",
        fmt::format("streaming: {}; {} per token from disk{}", speed(*forecast.streaming),
                    gigabytes(forecast.disk_bytes),
                    forecast.rates.disk ? fmt::format(" at {}/s", gigabytes(*forecast.rates.disk)) : ""));
  } else {
    add_line(out, "",
             fmt::format("streaming: {} per token from disk, whose rate is not known (--measure-disk)",
                         gigabytes(forecast.disk_bytes)));
  }
}

}  // namespace

std::string report_text(const CheckReport& report) {
  std::string out;
  add_line(out, "model", report.model);
  add_line(out, "model_type", report.model_type.empty() ? "unknown" : report.model_type);
  add_line(out, "supported", report.supported ? "yes" : "no");
  if (!report.problem.empty()) add_line(out, "problem", report.problem);
  add_line(out, "layout", report.layout);
  add_line(out, "quant", report.quant);
  if (report.parameters) {
    add_line(out, "parameters",
             fmt::format("{}, {} active per token", billions(report.parameters->total),
                         billions(report.parameters->active)));
  }
  add_artifacts(report.artifacts, out);
  if (report.parameters) {
    add_memory(report, out);
    add_forecast(report, out);
  }
  out += '\n';
  size_t width = 4;
  for (const PathCell& cell : report.paths) width = std::max(width, cell.path.size());
  const auto row = [&](std::string_view path, std::string_view status, std::string_view reason) {
    out += fmt::format("{:<{}}  {:<14}  {}\n", path, width, status, reason);
  };
  row("path", "status", "reason");
  for (const PathCell& cell : report.paths)
    row(cell.path, path_status_name(cell.verdict.status), cell.verdict.reason);
  out += '\n';
  for (const std::string& note : report.notes) add_line(out, "note", note);
  add_line(out, "verdict", report.verdict);
  add_line(out, "serve with", report.serve_with.empty() ? "-" : report.serve_with);
  return out;
}

std::string matrix_text(const PathMatrix& matrix) {
  size_t width = 4;
  for (const ServingPathRow& row : serving_paths()) width = std::max(width, row.name.size());
  std::string out = fmt::format("{:<{}}", "path", width);
  for (const std::string& type : matrix.model_types) out += fmt::format("  {:<14}", type);
  out.erase(out.find_last_not_of(' ') + 1);
  out += '\n';
  for (size_t p = 0; p < matrix.verdicts.size(); ++p) {
    std::string line = fmt::format("{:<{}}", serving_paths()[p].name, width);
    for (const PathVerdict& verdict : matrix.verdicts[p])
      line += fmt::format("  {:<14}", path_status_name(verdict.status));
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

}  // namespace mach
