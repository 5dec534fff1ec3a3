#include "text/jinja/markup.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/utf8.h"
#include "text/jinja/print.h"
#include "text/jinja/unicode.h"

namespace mach::jinja {
namespace {

// The named entities that escape() writes, and their common relatives; others stay as they are.
constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kEntities = {{
    {"amp", "&"},
    {"lt", "<"},
    {"gt", ">"},
    {"quot", "\""},
    {"apos", "'"},
    {"nbsp", "\xc2\xa0"},
    {"copy", "\xc2\xa9"},
}};

// Appends what the entity at `text[at]` ('&') stands for and returns its length, or 0 when it is none.
size_t append_entity(std::string& out, std::string_view text, size_t at) {
  const size_t end = text.find(';', at);
  if (end == std::string_view::npos || end - at > 32) return 0;
  std::string_view name = text.substr(at + 1, end - at - 1);
  if (name.starts_with('#')) {
    name.remove_prefix(1);
    const bool hex = name.starts_with('x') || name.starts_with('X');
    if (hex) name.remove_prefix(1);
    uint32_t code = 0;
    const auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), code, hex ? 16 : 10);
    if (error != std::errc() || stop != name.data() + name.size()) return 0;
    append_utf8(out, code);
    return end - at + 1;
  }
  const auto row = std::ranges::find(kEntities, name, &std::pair<std::string_view, std::string_view>::first);
  if (row == kEntities.end()) return 0;
  out += row->second;
  return end - at + 1;
}

// Removes what stands between each `open` and the next `close`.
std::string remove_between(std::string_view text, std::string_view open, std::string_view close) {
  std::string out;
  size_t at = 0;
  while (true) {
    const size_t start = text.find(open, at);
    const size_t end = start == std::string_view::npos ? start : text.find(close, start);
    if (end == std::string_view::npos) return out += text.substr(at);
    out += text.substr(at, start - at);
    at = end + close.size();
  }
}

}  // namespace

void append_escaped(TextBuilder& out, std::string_view text) {
  size_t plain = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    std::string_view entity;
    switch (text[at]) {
      case '&':
        entity = "&amp;";
        break;
      case '<':
        entity = "&lt;";
        break;
      case '>':
        entity = "&gt;";
        break;
      case '"':
        entity = "&#34;";
        break;
      case '\'':
        entity = "&#39;";
        break;
      default:
        continue;
    }
    out.append(text.substr(plain, at - plain));
    out.append(entity);
    plain = at + 1;
  }
  out.append(text.substr(plain));
}

void append_escaped_value(TextBuilder& out, const Value& value) {
  if (value.is_string()) {
    append_markup(out, value, true);
  } else {
    append_escaped(out, str(out.budget(), value));
  }
}

void append_markup(TextBuilder& out, const Value& string, bool into_markup) {
  if (into_markup && !string.string().safe()) {
    append_escaped(out, string.text());
  } else {
    out.append(string.text());
  }
}

std::string strip_tags(Budget& budget, std::string_view text) {
  budget.step_bytes(4 * text.size());
  const std::string bare = remove_between(remove_between(text, "<!--", "-->"), "<", ">");
  std::string collapsed;
  for (size_t at = 0; at < bare.size();) {
    const size_t start = at;
    const char32_t c = next_code_point(bare, at);
    if (!is_space(c)) {
      collapsed += bare.substr(start, at - start);
    } else if (!collapsed.empty() && collapsed.back() != ' ') {
      collapsed += ' ';
    }
  }
  if (!collapsed.empty() && collapsed.back() == ' ') collapsed.pop_back();
  std::string out;
  for (size_t at = 0; at < collapsed.size();) {
    const size_t used = collapsed[at] == '&' ? append_entity(out, collapsed, at) : 0;
    if (used == 0) out += collapsed[at];
    at += std::max<size_t>(used, 1);
  }
  return out;
}

}  // namespace mach::jinja
