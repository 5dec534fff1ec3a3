#include "text/jinja/print.h"

#include <array>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "text/jinja/failure.h"
#include "text/jinja/object.h"
#include "text/jinja/unicode.h"

namespace mach::jinja {
namespace {

void append_items(TextBuilder& out, const std::vector<Value>& items, int nesting) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.append(", ");
    append_repr(out, items[i], nesting + 1);
  }
}

void append_dict(TextBuilder& out, const DictNode& dict, int nesting) {
  out.append("{");
  bool first = true;
  for (const auto& [key, value] : dict.items()) {
    if (!first) out.append(", ");
    first = false;
    append_repr(out, key, nesting + 1);
    out.append(": ");
    append_repr(out, value, nesting + 1);
  }
  out.append("}");
}

}  // namespace

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 40> buffer{};
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific).ptr;
  std::string_view text(buffer.data(), static_cast<size_t>(end - buffer.data()));
  std::string out;
  if (text.front() == '-') {
    out += '-';
    text.remove_prefix(1);
  }
  const size_t e = text.find('e');
  int exponent = 0;
  const std::string_view power = text.substr(e + (text[e + 1] == '+' ? 2 : 1));
  std::from_chars(power.data(), power.data() + power.size(), exponent);
  std::string digits(1, text.front());
  if (e > 2) digits += text.substr(2, e - 2);
  const int count = static_cast<int>(digits.size());
  // Python switches to an exponent below 1e-4 and from 1e16 on.
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (count > 1) out += "." + digits.substr(1);
    out += fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  } else if (exponent < 0) {
    out += "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  } else if (exponent >= count - 1) {
    out += digits + std::string(static_cast<size_t>(exponent - count + 1), '0') + ".0";
  } else {
    out += digits.substr(0, static_cast<size_t>(exponent) + 1) + "." +
           digits.substr(static_cast<size_t>(exponent) + 1);
  }
  return out;
}

void append_unicode_escape(std::string& out, char32_t c) {
  if (c < 0x10000) {
    out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
  } else {
    c -= 0x10000;
    out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800U + (static_cast<uint32_t>(c) >> 10),
                       0xDC00U + (static_cast<uint32_t>(c) & 0x3FF));
  }
}

void append_string_repr(TextBuilder& out, std::string_view text) {
  const bool double_quotes =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = double_quotes ? '"' : '\'';
  out.append(1, quote);
  size_t plain = 0;  // start of what needs no escape
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t c = next_code_point(text, at);
    if (c != static_cast<char32_t>(quote) && c != '\\' && (c < 0x7F ? c >= 0x20 : is_printable(c))) continue;
    out.append(text.substr(plain, start - plain));
    plain = at;
    switch (c) {
      case '\n':
        out.append("\\n");
        break;
      case '\r':
        out.append("\\r");
        break;
      case '\t':
        out.append("\\t");
        break;
      case '\\':
        out.append("\\\\");
        break;
      case '\'':
        out.append("\\'");
        break;
      case '"':
        out.append("\\\"");
        break;
      default: {
        const auto code = static_cast<uint32_t>(c);
        out.append(c < 0x100     ? fmt::format("\\x{:02x}", code)
                   : c < 0x10000 ? fmt::format("\\u{:04x}", code)
                                 : fmt::format("\\U{:08x}", code));
      }
    }
  }
  out.append(text.substr(plain));
  out.append(1, quote);
}

void append_str(TextBuilder& out, const Value& value) {
  if (value.is_string()) {
    out.append(value.text());
  } else if (!value.is_undefined()) {
    append_repr(out, value);
  }
}

void append_repr(TextBuilder& out, const Value& value, int nesting) {
  // Containers are shallow by construction, but a namespace can hold itself.
  if (nesting > 2 * static_cast<int>(Limits::kNesting))
    fail("a value that contains itself cannot be printed");
  out.budget().step();
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kNone:
      out.append("None");
      return;
    case Kind::kBool:
      out.append(value.as_bool() ? "True" : "False");
      return;
    case Kind::kInt:
      out.append(fmt::format_int(value.as_int()).str());
      return;
    case Kind::kFloat:
      out.append(float_repr(value.as_float()));
      return;
    case Kind::kUndefined:
      out.append("Undefined");
      return;
    case Kind::kBigInt:
      out.append(value.text());
      return;
    case Kind::kString:
      if (value.string().safe()) out.append("Markup(");
      append_string_repr(out, value.text());
      if (value.string().safe()) out.append(")");
      return;
    case Kind::kList:
      out.append("[");
      append_items(out, value.items(), nesting);
      out.append("]");
      return;
    case Kind::kTuple:
      out.append("(");
      append_items(out, value.items(), nesting);
      out.append(value.items().size() == 1 ? ",)" : ")");
      return;
    case Kind::kDict:
      append_dict(out, value.dict(), nesting);
      return;
    case Kind::kObject:
      value.object().print(out, nesting);
      return;
  }
}

std::string str(Budget& budget, const Value& value) {
  TextBuilder out(budget);
  append_str(out, value);
  return out.take();
}

std::string repr(const Value& value) {
  constexpr size_t kShown = 200;
  Limits limits;
  limits.text_bytes = 4096;
  Budget budget(limits);
  TextBuilder out(budget);
  try {
    append_repr(out, value);
  } catch (const Failure&) {
    // Too long to show whole: what fits is shown.
  }
  std::string text(out.view());
  if (text.size() <= kShown) return text;
  size_t cut = kShown;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;
  return text.substr(0, cut) + "...";
}

}  // namespace mach::jinja
