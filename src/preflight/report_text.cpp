#include "preflight/report_text.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace mach {
namespace {

constexpr int kLabelWidth = 13;

// Three digits, decimal units.
std::string size(double bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < std::size(kUnits)) {
    bytes /= 1000;
    ++unit;
  }
  const int digits = unit == 0 || bytes >= 99.95 ? 0 : bytes >= 9.995 ? 1 : 2;
  return fmt::format("{:.{}f} {}", bytes, digits, kUnits[unit]);
}
std::string size(uint64_t bytes) { return size(static_cast<double>(bytes)); }

std::string percent(double share) { return fmt::format("{:.0f} %", 100.0 * share); }

void add_line(std::string& out, std::string_view label, std::string_view text) {
  out += fmt::format("{:<{}}{}\n", label.empty() ? "" : fmt::format("{}:", label), kLabelWidth, text);
}

std::string parameter_count(uint64_t count) {
  const auto value = static_cast<double>(count);
  return value < 1e9 ? fmt::format("{:.3g} M", value / 1e6) : fmt::format("{:.3g} B", value / 1e9);
}

void add_artifacts(const ArtifactFacts& artifacts, std::string& out) {
  const auto yes_no = [](bool there) { return there ? "yes" : "no"; };
  const std::string draft = artifacts.draft_dir.empty()              ? "none"
                            : artifacts.draft == DraftState::kUsable ? artifacts.draft_dir
                                                                     : artifacts.draft_dir + " (unusable)";
  add_line(out, "artifacts",
           fmt::format("sidecar={}, draft_dir={}, mtp_block={}, tokenizer={}, chat_template={}, weights={}",
                       artifacts.sidecar_fault.empty() ? yes_no(artifacts.sidecar) : "broken", draft,
                       yes_no(artifacts.mtp_block), yes_no(artifacts.tokenizer),
                       artifacts.chat_template ? yes_no(*artifacts.chat_template) : "unknown",
                       yes_no(artifacts.weights)));
}

void add_memory(const CheckReport& report, std::string& out) {
  if (!report.memory) {
    add_line(out, "memory", "unavailable: the format of the experts is not known");
    return;
  }
  const MemoryEstimate& memory = *report.memory;
  const bool streams = memory.experts > 0;
  add_line(out, "memory",
           fmt::format("verdict={}, experts={}, kv@{}={}, working_set={}{}",
                       fit_name(memory.resident == Fit::kFits ? memory.resident : memory.streaming),
                       size(memory.experts), memory.context, size(memory.cache.steady()),
                       size(memory.bank_floor), report.exact_sizes ? "" : " (announced by config.json)"));
  add_line(
      out, "",
      fmt::format(
          "weights besides experts {}, copies {}, cache {} + {} while a prompt runs, scratch {}, draft {}, "
          "program {}",
          size(memory.resident_weights), size(memory.copies + memory.expert_copies),
          size(memory.cache.steady()), size(memory.cache.staging), size(memory.scratch), size(memory.draft),
          size(memory.process)));
  const std::string of = memory.available ? fmt::format(" of {} available", size(*memory.available)) : "";
  add_line(out, "resident",
           fmt::format("{}: {}{}", fit_name(memory.resident), size(memory.resident_total()), of));
  if (!streams) return;
  add_line(out, "streaming",
           fmt::format("{}: {}{} with a bank of {} ({} of {} experts, {}; expected hits {})",
                       fit_name(memory.streaming), size(memory.streaming_total()), of, size(memory.bank),
                       memory.bank_experts, memory.expert_count, percent(memory.bank_share),
                       percent(memory.hit_rate)));
}

std::string speed(const SpeedRange& range) {
  const auto number = [](double value) { return fmt::format("{:.{}f}", value, value < 9.95 ? 1 : 0); };
  return fmt::format("{} to {} tokens/s, limited by {}", number(range.low), number(range.high), range.limit);
}

void add_forecast(const CheckReport& report, std::string& out) {
  if (!report.memory) return;
  if (!report.forecast) {
    add_line(out, "forecast", "none: give --bandwidth GB/s, or run `mach doctor --save` once");
    return;
  }
  const Forecast& forecast = *report.forecast;
  add_line(out, "forecast",
           fmt::format("(not a measurement) {} per token from memory at {}/s",
                       size(forecast.weight_bytes + forecast.cache_bytes), size(forecast.rates.memory)));
  add_line(out, "", "resident: " + speed(forecast.resident));
  if (report.memory->experts == 0) return;
  if (forecast.streaming) {
    add_line(out, "",
             fmt::format("streaming: {}; {} per token from disk{}", speed(*forecast.streaming),
                         size(forecast.disk_bytes),
                         forecast.rates.disk ? fmt::format(" at {}/s", size(*forecast.rates.disk)) : ""));
  } else {
    add_line(out, "",
             fmt::format("streaming: {} per token from disk, whose rate is not known (--measure-disk)",
                         size(forecast.disk_bytes)));
  }
}

// Why cells are not ok: a line per path and reason, with the architectures where it is not all of them.
std::string matrix_reasons(const PathMatrix& matrix) {
  std::string out;
  for (size_t p = 0; p < matrix.verdicts.size(); ++p) {
    std::map<std::string, std::vector<std::string>> types;  // by what is said
    for (size_t t = 0; t < matrix.model_types.size(); ++t) {
      const PathVerdict& verdict = matrix.verdicts[p][t];
      if (verdict.status == PathStatus::kOk) continue;
      types[fmt::format("{}: {}", path_status_name(verdict.status), verdict.reason)].push_back(
          matrix.model_types[t]);
    }
    for (const auto& [said, where] : types) {
      out += fmt::format("{} {}", serving_paths()[p].name, said);
      if (where.size() < matrix.model_types.size()) out += fmt::format(" ({})", fmt::join(where, ", "));
      out += '\n';
    }
  }
  return out.empty() ? out : '\n' + out;
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
             fmt::format("{}, {} active per token", parameter_count(report.parameters->total),
                         parameter_count(report.parameters->active)));
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
  return out + matrix_reasons(matrix);
}

}  // namespace mach
