#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "io/json.h"
#include "text/jinja/args.h"
#include "text/jinja/cursor.h"
#include "text/jinja/failure.h"
#include "text/jinja/filters.h"
#include "text/jinja/format.h"
#include "text/jinja/json_text.h"
#include "text/jinja/markup.h"
#include "text/jinja/methods.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/text_search.h"
#include "text/jinja/unicode.h"

namespace mach::jinja {
namespace {

using Args = const Arguments&;

// A string as it is (markup stays markup), anything else as str() prints it.
Value soft_text(Runtime& rt, const Value& value) {
  return value.is_string() ? value : rt.string(str(rt.budget, value));
}

// The string method of the same name, on whatever the subject prints.
template <const auto& Name>
Value by_method(Runtime& rt, const Value& subject, Args arguments) {
  return find_string_method(Name)->call(rt, soft_text(rt, subject), arguments);
}
constexpr std::string_view kCapitalize = "capitalize";
constexpr std::string_view kLower = "lower";
constexpr std::string_view kStrip = "strip";
constexpr std::string_view kUpper = "upper";

Value center(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("center", arguments, {"width"});
  return find_string_method("center")->call(rt, soft_text(rt, subject),
                                            {{Value::integer(p.integer(0, 80))}, {}});
}

Value string(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters none("string", arguments, {});
  return soft_text(rt, subject);
}

Value safe(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters none("safe", arguments, {});
  return rt.string(str(rt.budget, subject), true);
}

Value escape(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters none("escape", arguments, {});
  TextBuilder out(rt.budget);
  append_escaped_value(out, subject);
  return rt.string(out.take(), true);
}

Value force_escape(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters none("forceescape", arguments, {});
  TextBuilder out(rt.budget);
  append_escaped(out, str(rt.budget, subject));
  return rt.string(out.take(), true);
}

Value strip_tags_of(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters none("striptags", arguments, {});
  return rt.string(strip_tags(rt.budget, str(rt.budget, subject)));
}

Value format(Runtime& rt, const Value& subject, Args arguments) {
  if (!arguments.named.empty() && !arguments.positional.empty()) {
    fail("can't handle positional and keyword arguments at the same time");
  }
  const Value text = soft_text(rt, subject);
  if (arguments.named.empty()) return format_percent(rt, text, rt.tuple(arguments.positional));
  DictNode::Items named;
  for (const auto& [name, value] : arguments.named) named.emplace_back(rt.string(name), value);
  return format_percent(rt, text, rt.dict(std::move(named)));
}

Value replace(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("replace", arguments, {"old", "new", "count"}, 2);
  const std::string text = str(rt.budget, subject);
  return rt.string(
      replace_text(rt.budget, text, str(rt.budget, p[0]), str(rt.budget, p[1]), p.integer(2, -1)));
}

// Not str.title(): words start behind white space and opening brackets only.
Value title(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters none("title", arguments, {});
  const Value text = soft_text(rt, subject);
  rt.budget.step_bytes(8 * text.text().size());
  const auto separates = [](char32_t c) {
    return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || is_space(c);
  };
  const std::string_view all = text.text();
  TextBuilder out(rt.budget);
  for (size_t at = 0; at < all.size();) {
    const size_t start = at;
    const bool separator = separates(next_code_point(all, at));
    const size_t after_first = at;
    while (at < all.size()) {
      size_t next = at;
      if (separates(next_code_point(all, next)) != separator) break;
      at = next;
    }
    out.append(to_upper(all.substr(start, after_first - start)));
    out.append(to_lower(all.substr(after_first, at - after_first)));
  }
  return rt.string(out.take());
}

Value word_count(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters none("wordcount", arguments, {});
  const Value text = soft_text(rt, subject);
  rt.budget.step_bytes(4 * text.text().size());
  int64_t words = 0;
  bool in_word = false;
  for (size_t at = 0; at < text.text().size();) {
    const char32_t c = next_code_point(text.text(), at);
    const bool part = c == '_' || is_alnum(c);
    words += part && !in_word ? 1 : 0;
    in_word = part;
  }
  return Value::integer(words);
}

void append_url_quoted(TextBuilder& out, std::string_view text, bool query) {
  constexpr std::string_view kPlain = "_.-~";
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter || kPlain.find(c) != std::string_view::npos || (c == '/' && !query)) {
      out.append(1, c);
    } else if (c == ' ' && query) {
      out.append("+");
    } else {
      out.append(fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c))));
    }
  }
}

Value url_encode(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters none("urlencode", arguments, {});
  TextBuilder out(rt.budget);
  if (subject.is_string() || !is_iterable(subject)) {
    append_url_quoted(out, str(rt.budget, subject), false);
    return rt.string(out.take());
  }
  bool first = true;
  const auto pair = [&](const Value& key, const Value& value) {
    if (!first) out.append("&");
    first = false;
    append_url_quoted(out, str(rt.budget, key), true);
    out.append("=");
    append_url_quoted(out, str(rt.budget, value), true);
  };
  if (subject.is_dict()) {
    for (const auto& [key, value] : subject.dict().items()) pair(key, value);
  } else {
    Cursor cursor(subject);
    Value item;
    while (cursor.next(rt, item)) {
      const auto parts = collect(rt, item);
      if (parts.size() != 2) fail("urlencode takes a text, a mapping or pairs");
      pair(parts[0], parts[1]);
    }
  }
  return rt.string(out.take());
}

Value xml_attributes(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("xmlattr", arguments, {"autospace"});
  if (!subject.is_dict()) fail("xmlattr takes a mapping");
  TextBuilder out(rt.budget);
  for (const auto& [key, value] : subject.dict().items()) {
    if (value.is_none() || value.is_undefined()) continue;
    if (!key.is_string()) fail(fmt::format("an attribute name is a string, not {}", type_name(key)));
    const std::string_view name = key.text();
    if (name.find_first_of(" \t\n\r\f\v/>=") != std::string_view::npos) {
      fail(fmt::format("Invalid character in attribute name: {}", repr(key)));
    }
    if (out.size() > 0 || p.boolean(0, true)) out.append(" ");
    append_escaped(out, name);
    out.append("=\"");
    append_escaped_value(out, value);
    out.append("\"");
  }
  return rt.string(out.take());
}

// Hugging Face's parameters, in its order; json.dumps for the rest.
Value to_json(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = p.boolean(0, false);
  style.sort_keys = p.boolean(3, false);
  if (p.has(1) && !p[1].is_none()) {
    if (p[1].is_string()) {
      style.indent = p[1].text();
    } else {
      const auto width = static_cast<size_t>(std::max<int64_t>(0, p.integer(1)));
      rt.budget.check_text(width);
      style.indent = std::string(width, ' ');
    }
    style.item_separator = ",";
  }
  if (p.has(2) && !p[2].is_none()) {
    const auto parts = collect(rt, p[2]);
    if (parts.size() != 2 || !parts[0].is_string() || !parts[1].is_string())
      fail("tojson: separators are two strings");
    style.item_separator = parts[0].text();
    style.key_separator = parts[1].text();
  }
  TextBuilder out(rt.budget);
  append_json(out, subject, style);
  return rt.string(out.take());
}

// Not in Jinja: templates that get tool-call arguments as text use it in engines that have it.
Value parse_json_text(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters none("from_json", arguments, {});
  if (!subject.is_string()) fail(fmt::format("from_json takes a string, not {}", type_name(subject)));
  JsonLimits limits;
  limits.duplicates = DuplicateKeys::kKeepLast;
  limits.error = ErrorCode::kInvalidRequest;
  limits.max_bytes = rt.budget.limits().text_bytes;
  limits.max_values = rt.budget.limits().live_bytes / 256;
  rt.budget.step_bytes(16 * subject.text().size());
  try {
    return from_json(&rt.budget, parse_ordered_json(subject.text(), "from_json", limits));
  } catch (const Error& e) {
    fail(e.code(), e.what());
  }
}

constexpr std::array kFilters = std::to_array<Filter>({
    {"tojson", to_json},
    {"trim", by_method<kStrip>},
    {"string", string},
    {"upper", by_method<kUpper>},
    {"lower", by_method<kLower>},
    {"replace", replace},
    {"safe", safe},
    {"capitalize", by_method<kCapitalize>},
    {"title", title},
    {"format", format},
    {"escape", escape},
    {"e", escape},
    {"forceescape", force_escape},
    {"striptags", strip_tags_of},
    {"center", center},
    {"wordcount", word_count},
    {"urlencode", url_encode},
    {"xmlattr", xml_attributes},
    {"from_json", parse_json_text},
});

}  // namespace

std::span<const Filter> text_filters() noexcept { return kFilters; }

}  // namespace mach::jinja
