#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/utf8.h"
#include "text/jinja/args.h"
#include "text/jinja/cursor.h"
#include "text/jinja/failure.h"
#include "text/jinja/filters.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/text_search.h"
#include "text/jinja/unicode.h"

namespace mach::jinja {
namespace {

using Args = const Arguments&;

const Value& require_text(const Value& subject, std::string_view filter) {
  if (subject.is_undefined()) fail_undefined(subject);
  if (!subject.is_string()) fail(fmt::format("{} takes a string, not {}", filter, type_name(subject)));
  return subject;
}

Value indent(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("indent", arguments, {"width", "first", "blank"});
  const std::string_view text = require_text(subject, "indent").text();
  std::string indention;
  if (p.has(0) && p[0].is_string()) {
    indention = p[0].text();
  } else {
    const auto width = static_cast<size_t>(std::max<int64_t>(0, p.integer(0, 4)));
    rt.budget.check_text(width);
    indention.assign(width, ' ');
  }
  rt.budget.step_bytes(8 * text.size());
  const bool blank = p.boolean(2, false);
  TextBuilder out(rt.budget);
  if (p.boolean(1, false)) out.append(indention);
  // Jinja appends a newline before it splits, so a trailing one is followed by a line of its own: an empty one.
  size_t at = 0;
  bool ended = true;
  for (bool started = false; ended; started = true) {
    rt.budget.step();
    const size_t start = at;
    const std::string_view line = next_line(text, at, false).value_or("");
    ended = at - start > line.size();
    if (started) out.append("\n");
    if (started && (blank || !line.empty())) out.append(indention);
    out.append(line);
  }
  return rt.string(out.take(), subject.string().safe());
}

Value truncate(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("truncate", arguments, {"length", "killwords", "end", "leeway"});
  const std::string_view end = p.text(2, "...");
  const int64_t length = p.integer(0, 255);
  const int64_t leeway = p.integer(3, 5);
  const auto end_length = static_cast<int64_t>(count_code_points(end));
  if (length < end_length) fail(fmt::format("expected length >= {}, got {}", end_length, length));
  if (leeway < 0) fail(fmt::format("expected leeway >= 0, got {}", leeway));
  const int64_t size = length_of(subject);
  if (size <= length || size - length <= leeway) return subject;
  const std::string_view text = require_text(subject, "truncate").text();
  rt.budget.step_bytes(2 * text.size());
  std::string_view kept = text.substr(0, byte_offset(text, static_cast<size_t>(length - end_length)));
  if (!p.boolean(1, false)) kept = kept.substr(0, kept.rfind(' '));
  TextBuilder out(rt.budget);
  out.append(kept);
  out.append(end);
  return rt.string(out.take());
}

// Breaks one line as Python's textwrap does: at white space, after hyphens inside words, around dashes.
class Wrapper {
 public:
  Wrapper(Runtime& rt, size_t width, bool break_words, bool break_hyphens)
      : rt_(rt), width_(width), break_words_(break_words), break_hyphens_(break_hyphens) {}

  std::vector<std::u32string> wrap(const std::u32string& line) {
    std::vector<std::u32string> chunks = split(line);
    std::ranges::reverse(chunks);
    std::vector<std::u32string> lines;
    while (!chunks.empty()) {
      rt_.budget.step();
      if (!lines.empty() && blank(chunks.back())) chunks.pop_back();
      std::vector<std::u32string> current;
      size_t length = 0;
      while (!chunks.empty() && length + chunks.back().size() <= width_) {
        length += chunks.back().size();
        current.push_back(std::move(chunks.back()));
        chunks.pop_back();
      }
      if (!chunks.empty() && chunks.back().size() > width_) break_long_word(chunks, current, width_ - length);
      if (!current.empty() && blank(current.back())) current.pop_back();
      if (current.empty()) continue;
      std::u32string joined;
      for (const auto& part : current) joined += part;
      lines.push_back(std::move(joined));
    }
    return lines;
  }

 private:
  static bool space(char32_t c) { return (c >= 0x09 && c <= 0x0D) || c == ' '; }
  static bool word(char32_t c) { return c == '_' || is_alnum(c); }
  static bool letter(char32_t c) { return word(c) && !is_decimal(c); }
  static bool punctuated(char32_t c) {
    return word(c) || std::u32string_view(U"!\"'&.,?").find(c) != std::u32string_view::npos;
  }
  static bool blank(const std::u32string& text) { return std::ranges::all_of(text, is_space); }

  // Length of a run of at least two hyphens at `at` that stands between words, else 0.
  static size_t dash(const std::u32string& t, size_t at) {
    if (at == 0 || !punctuated(t[at - 1])) return 0;
    size_t end = at;
    while (end < t.size() && t[end] == '-') ++end;
    return end - at >= 2 && end < t.size() && word(t[end]) ? end - at : 0;
  }

  // A hyphen at `at` that a line may end with.
  static bool soft_hyphen(const std::u32string& t, size_t at) {
    if (t[at] != '-') return false;
    const bool before = (at >= 2 && letter(t[at - 1]) && letter(t[at - 2])) ||
                        (at >= 3 && letter(t[at - 1]) && t[at - 2] == '-' && letter(t[at - 3]));
    if (!before || at + 1 >= t.size() || !letter(t[at + 1])) return false;
    const size_t second = at + 2 < t.size() && t[at + 2] == '-' ? at + 3 : at + 2;
    return second < t.size() && letter(t[second]);
  }

  std::vector<std::u32string> split(const std::u32string& t) const {
    std::vector<std::u32string> chunks;
    for (size_t at = 0; at < t.size();) {
      size_t end = at + 1;
      if (space(t[at])) {
        while (end < t.size() && space(t[end])) ++end;
      } else if (const size_t run = break_hyphens_ ? dash(t, at) : 0; run > 0) {
        end = at + run;
      } else {
        for (; end < t.size() && !space(t[end]); ++end) {
          if (!break_hyphens_) continue;
          if (soft_hyphen(t, end)) {
            ++end;
            break;
          }
          if (dash(t, end) > 0) break;
        }
      }
      chunks.push_back(t.substr(at, end - at));
      at = end;
    }
    return chunks;
  }

  void break_long_word(std::vector<std::u32string>& chunks, std::vector<std::u32string>& current,
                       size_t room) const {
    std::u32string& chunk = chunks.back();
    if (break_words_) {
      size_t end = room;
      if (break_hyphens_ && room > 0) {
        const size_t hyphen = chunk.rfind('-', room - 1);
        if (hyphen != std::u32string::npos && hyphen > 0 && chunk.find_first_not_of('-') < hyphen)
          end = hyphen + 1;
      }
      rt_.budget.step(chunk.size() / 16);
      current.push_back(chunk.substr(0, end));
      chunk.erase(0, end);
    } else if (current.empty()) {
      current.push_back(std::move(chunk));
      chunks.pop_back();
    }
  }

  Runtime& rt_;
  size_t width_;
  bool break_words_, break_hyphens_;
};

Value word_wrap(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("wordwrap", arguments, {"width", "break_long_words", "wrapstring", "break_on_hyphens"});
  const std::string_view text = require_text(subject, "wordwrap").text();
  const int64_t width = p.integer(0, 79);
  if (width <= 0) fail(fmt::format("invalid width {} (must be > 0)", width));
  const std::string_view between = p.text(2, "\n");
  // The pieces take about 40 bytes per character while they exist.
  rt.budget.step_bytes(64 * text.size());
  const Reservation pieces(rt.budget, 40 * text.size());
  Wrapper wrapper(rt, static_cast<size_t>(width), p.boolean(1, true), p.boolean(3, true));
  TextBuilder out(rt.budget);
  bool first = true;
  size_t at = 0;
  while (const auto line = next_line(text, at, false)) {
    const auto wrapped = wrapper.wrap(to_utf32(*line));
    if (!first) out.append(between);
    first = false;
    for (size_t i = 0; i < wrapped.size(); ++i) {
      if (i > 0) out.append(between);
      std::string bytes;
      for (const char32_t c : wrapped[i]) append_utf8(bytes, c);
      out.append(bytes);
    }
  }
  return rt.string(out.take());
}

// pprint.pformat: one line where 80 columns do, else one item per line; dict keys sorted. Long strings are not broken.
class PrettyPrinter {
 public:
  explicit PrettyPrinter(TextBuilder& out) : out_(out) {}

  void value(const Value& v, size_t indent, size_t allowance) {
    TextBuilder flat(out_.budget());
    one_line(flat, v);
    const bool container = v.is_sequence() || v.is_dict();
    if (!container || count_code_points(flat.view()) + indent + allowance <= kWidth) {
      out_.append(flat.view());
      return;
    }
    out_.append(v.is_dict() ? "{" : v.is(Kind::kList) ? "[" : "(");
    const std::string_view close = v.is_dict()             ? "}"
                                   : v.is(Kind::kList)     ? "]"
                                   : v.items().size() == 1 ? ",)"
                                                           : ")";
    const std::string separator = ",\n" + std::string(indent + 1, ' ');
    if (v.is_dict()) {
      const auto entries = sorted(v.dict());
      for (size_t i = 0; i < entries.size(); ++i) {
        if (i > 0) out_.append(separator);
        TextBuilder key(out_.budget());
        append_repr(key, entries[i]->first);
        out_.append(key.view());
        out_.append(": ");
        value(entries[i]->second, indent + 3 + count_code_points(key.view()),
              i + 1 == entries.size() ? allowance + 1 : 1);
      }
    } else {
      for (size_t i = 0; i < v.items().size(); ++i) {
        if (i > 0) out_.append(separator);
        value(v.items()[i], indent + 1, i + 1 == v.items().size() ? allowance + close.size() : 1);
      }
    }
    out_.append(close);
  }

 private:
  static constexpr size_t kWidth = 80;
  using Entries = std::vector<const DictNode::Items::value_type*>;

  static Entries sorted(const DictNode& dict) {
    Entries entries;
    for (const auto& entry : dict.items()) entries.push_back(&entry);
    std::ranges::stable_sort(
        entries, [](const auto* a, const auto* b) { return compare_keys(a->first, b->first) < 0; });
    return entries;
  }

  static void one_line(TextBuilder& out, const Value& v) {
    if (v.is_dict()) {
      out.append("{");
      bool first = true;
      for (const auto* entry : sorted(v.dict())) {
        if (!first) out.append(", ");
        first = false;
        append_repr(out, entry->first);
        out.append(": ");
        one_line(out, entry->second);
      }
      out.append("}");
    } else if (v.is_sequence()) {
      out.append(v.is(Kind::kList) ? "[" : "(");
      for (size_t i = 0; i < v.items().size(); ++i) {
        if (i > 0) out.append(", ");
        one_line(out, v.items()[i]);
      }
      out.append(v.is(Kind::kList) ? "]" : v.items().size() == 1 ? ",)" : ")");
    } else {
      append_repr(out, v);
    }
  }

  TextBuilder& out_;
};

Value pretty_print(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters none("pprint", arguments, {});
  TextBuilder out(rt.budget);
  PrettyPrinter(out).value(subject, 0, 0);
  return rt.string(out.take());
}

Value file_size(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("filesizeformat", arguments, {"binary"});
  if (subject.is_undefined()) fail_undefined(subject);
  const auto parsed = subject.is_string()   ? parse_float(subject.text())
                      : subject.is_number() ? std::optional(subject.as_float())
                                            : std::nullopt;
  if (!parsed) fail(fmt::format("filesizeformat takes a number, not {}", repr(subject)));
  const double bytes = *parsed;
  const bool binary = p.boolean(0, false);
  const double base = binary ? 1024 : 1000;
  if (bytes == 1) return rt.string("1 Byte");
  if (bytes < base) return rt.string(fmt::format("{:.0f} Bytes", std::trunc(bytes)));
  constexpr std::string_view kPrefixes = "kMGTPEZY";
  double unit = base;
  size_t i = 0;
  do {
    unit *= base;
  } while (bytes >= unit && ++i + 1 < kPrefixes.size());
  if (bytes >= unit) unit *= base;
  const char prefix = i == 0 && binary ? 'K' : kPrefixes[i];
  return rt.string(fmt::format("{:.1f} {}{}", base * bytes / unit, prefix, binary ? "iB" : "B"));
}

constexpr std::array kFilters = std::to_array<Filter>({
    {"indent", indent},
    {"truncate", truncate},
    {"wordwrap", word_wrap},
    {"pprint", pretty_print},
    {"filesizeformat", file_size},
});

}  // namespace

std::span<const Filter> layout_filters() noexcept { return kFilters; }

}  // namespace mach::jinja
