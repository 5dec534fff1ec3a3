#include "measure/bench_report.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace mach::measure {
namespace {

std::string_view kind_name(BenchKind kind) { return kind == BenchKind::kPrefill ? "prefill" : "decode"; }

double spread(const BenchResult& r) {
  const auto [low, high] = std::minmax_element(r.rates.begin(), r.rates.end());
  const double median = r.median();
  return median > 0 ? (*high - *low) / 2 / median : 0;
}

std::string gigabytes(double bytes) { return fmt::format("{:.3g} GB", bytes * 1e-9); }

std::string routing_text(const RoutingSummary& r) {
  return fmt::format(
      "routing  {} layers of {} experts, top {}: {:.1f} experts per layer and pass, {:.0f} % of them as in "
      "the pass before;\n"
      "         {:.0f} % of all used, entropy {:.3f} (1: uniform), the most popular takes {:.1f} % of the "
      "choices\n",
      r.layers, r.experts, r.top_k, r.pass_experts, 100 * r.repeated, 100 * r.used, r.entropy,
      100 * r.largest_share);
}

std::string streaming_text(const StreamingResult& s) {
  return fmt::format(
      "experts  {} by {}, cache {} of {} ({} of {} experts): {:.1f} % hits, {} read per token,\n"
      "         {}/s over the passes, {:.0f} % of the time waiting; guesses {} useful, {} wasted\n",
      s.status.source, s.status.reader, gigabytes(static_cast<double>(s.status.bank_bytes)),
      gigabytes(static_cast<double>(s.status.budget_bytes)), s.status.slots, s.status.experts,
      100 * s.counters.hit_rate(), gigabytes(s.bytes_per_token()), gigabytes(s.read_rate()),
      100 * s.stall_share(), s.counters.guesses_useful, s.counters.guesses_wasted);
}

}  // namespace

double bandwidth_share(const BenchReport& report, const BenchResult& result) {
  if (result.kind != BenchKind::kDecode || report.roofline.read_bytes <= 0) return 0;
  return static_cast<double>(result.bytes.total()) * result.median() / result.batch /
         report.roofline.read_bytes;
}

double int8_share(const BenchReport& report, const BenchResult& result) {
  return report.roofline.int8_macs > 0 ? result.macs * result.median() / report.roofline.int8_macs : 0;
}

nlohmann::ordered_json to_json(const BenchReport& report) {
  using Json = nlohmann::ordered_json;
  Json root;
  root["model"] = {{"path", report.engine.model_path},
                   {"model_type", report.engine.model_type},
                   {"quantisation", report.engine.quantisation},
                   {"weight_bytes", report.engine.weight_bytes}};
  root["engine"] = {{"kernel_set", report.engine.kernel_set},
                    {"numerics", report.engine.numerics},
                    {"threads", report.engine.threads}};
  root["roofline"] = {{"set", report.roofline_set},
                      {"read_bytes_per_second", report.roofline.read_bytes},
                      {"int8_macs_per_second", report.roofline.int8_macs},
                      {"bf16_macs_per_second", report.roofline.bf16_macs},
                      {"fp32_macs_per_second", report.roofline.fp32_macs}};
  root["load"] = {{"open_seconds", report.engine.load_seconds},
                  {"first_token_seconds", report.first_token_seconds}};
  root["memory"] = {{"peak_rss_bytes", report.peak_rss},
                    {"anonymous_bytes", report.rss_anon},
                    {"file_bytes", report.rss_file}};
  root["results"] = Json::array();
  for (const BenchResult& r : report.results) {
    Json row = {{"kind", kind_name(r.kind)},
                {"tokens", r.tokens},
                {"depth", r.depth},
                {"batch", r.batch},
                {"tokens_per_second", {{"median", r.median()}, {"runs", r.rates}}},
                {"macs_per_token", r.macs},
                {"int8_share", int8_share(report, r)}};
    if (r.kind == BenchKind::kDecode) {
      row["bytes_per_pass"] = {{"resident", r.bytes.resident},
                               {"experts", r.bytes.experts},
                               {"kv", r.bytes.kv},
                               {"total", r.bytes.total()}};
      row["bandwidth_share"] = bandwidth_share(report, r);
    }
    if (r.routing) {
      row["routing"] = {{"layers", r.routing->layers},
                        {"experts", r.routing->experts},
                        {"top_k", r.routing->top_k},
                        {"experts_per_pass", r.routing->pass_experts},
                        {"used_share", r.routing->used},
                        {"entropy", r.routing->entropy},
                        {"largest_share", r.routing->largest_share},
                        {"repeated_share", r.routing->repeated}};
    }
    if (r.streaming) {
      const StreamingResult& s = *r.streaming;
      row["streaming"] = {{"source", s.status.source},
                          {"reader", s.status.reader},
                          {"budget_bytes", s.status.budget_bytes},
                          {"slots", s.status.slots},
                          {"hit_rate", s.counters.hit_rate()},
                          {"bytes_read_per_token", s.bytes_per_token()},
                          {"read_bytes_per_second", s.read_rate()},
                          {"stall_share", s.stall_share()},
                          {"guesses_useful", s.counters.guesses_useful},
                          {"guesses_wasted", s.counters.guesses_wasted}};
    }
    root["results"].push_back(std::move(row));
  }
  return root;
}

std::string to_text(const BenchReport& report) {
  const EngineInfo& info = report.engine;
  std::string out = fmt::format(
      "model    {} ({}, {}), {}\n"
      "engine   {} numerics, {} kernels, {} threads\n"
      "machine  reads {}/s, {:.3g} int8 and {:.3g} bf16 TMAC/s (measured: {}, {} threads)\n"
      "load     {:.2f} s to open, {:.2f} s for the first token\n"
      "memory   {} at most; {} anonymous and {} of files at the end\n\n",
      info.model_path, info.model_type, info.quantisation, gigabytes(static_cast<double>(info.weight_bytes)),
      info.numerics, info.kernel_set, info.threads, gigabytes(report.roofline.read_bytes),
      report.roofline.int8_macs * 1e-12, report.roofline.bf16_macs * 1e-12, report.roofline_set, info.threads,
      info.load_seconds, report.first_token_seconds, gigabytes(static_cast<double>(report.peak_rss)),
      gigabytes(static_cast<double>(report.rss_anon)), gigabytes(static_cast<double>(report.rss_file)));
  out +=
      fmt::format("{:<8} {:>6} {:>7} {:>6} {:>10} {:>7} {:>10} {:>10} {:>10} {:>10}\n", "test", "tokens",
                  "depth", "batch", "tokens/s", "+-", "GMAC/token", "int8 peak", "bytes/pass", "bandwidth");
  for (const BenchResult& r : report.results) {
    const bool decode = r.kind == BenchKind::kDecode;
    out += fmt::format("{:<8} {:>6} {:>7} {:>6} {:>10.2f} {:>5.1f} % {:>10.3f} {:>8.1f} % {:>10} {:>10}\n",
                       kind_name(r.kind), r.tokens, r.depth, r.batch, r.median(), 100 * spread(r),
                       r.macs * 1e-9, 100 * int8_share(report, r),
                       decode ? gigabytes(static_cast<double>(r.bytes.total())) : "",
                       decode ? fmt::format("{:.1f} %", 100 * bandwidth_share(report, r)) : "");
  }
  for (const BenchResult& r : report.results) {
    if (r.kind == BenchKind::kPrefill && r.streaming)
      out += fmt::format("\nprefill {} at depth {}\n{}", r.tokens, r.depth, streaming_text(*r.streaming));
    if (r.kind != BenchKind::kDecode) continue;
    out += fmt::format(
        "\ndecode at depth {}, batch {}\nbytes    {} resident, {} experts, {} keys and values per pass\n",
        r.depth, r.batch, gigabytes(static_cast<double>(r.bytes.resident)),
        gigabytes(static_cast<double>(r.bytes.experts)), gigabytes(static_cast<double>(r.bytes.kv)));
    if (r.routing) out += routing_text(*r.routing);
    if (r.streaming) out += streaming_text(*r.streaming);
  }
  return out;
}

}  // namespace mach::measure
