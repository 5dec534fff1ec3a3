#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "text/jinja/args.h"
#include "text/jinja/cursor.h"
#include "text/jinja/failure.h"
#include "text/jinja/format.h"
#include "text/jinja/markup.h"
#include "text/jinja/methods.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_search.h"
#include "text/jinja/unicode.h"

namespace mach::jinja {
namespace {

bool safe(const Value& self) { return self.string().safe(); }

// A new string of the same sort (plain or markup) as `self`.
Value like(Runtime& rt, const Value& self, std::string text) {
  return rt.string(std::move(text), safe(self));
}

template <std::string (*Map)(std::string_view)>
Value mapped(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters none("str method", arguments, {});
  rt.budget.step_bytes(4 * self.text().size());
  return like(rt, self, Map(self.text()));
}

// True when the text is not empty and every character passes.
template <bool (*Test)(char32_t) noexcept>
Value all_are(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters none("str method", arguments, {});
  rt.budget.step_bytes(4 * self.text().size());
  const std::string_view text = self.text();
  for (size_t at = 0; at < text.size();) {
    if (!Test(next_code_point(text, at))) return Value::boolean(false);
  }
  return Value::boolean(!text.empty());
}

// islower, isupper: some character has case, and none has the other one.
template <bool (*Other)(char32_t) noexcept>
Value cased_without(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters none("str method", arguments, {});
  rt.budget.step_bytes(4 * self.text().size());
  const std::string_view text = self.text();
  bool cased = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (Other(c) || is_title(c)) return Value::boolean(false);
    cased = cased || is_cased(c);
  }
  return Value::boolean(cased);
}

Value is_title_text(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters none("istitle", arguments, {});
  rt.budget.step_bytes(4 * self.text().size());
  const std::string_view text = self.text();
  bool any = false;
  bool in_word = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    const bool capital = is_upper(c) || is_title(c);
    if ((capital && in_word) || (is_lower(c) && !in_word)) return Value::boolean(false);
    in_word = is_cased(c);
    any = any || in_word;
  }
  return Value::boolean(any);
}

Value is_identifier_text(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters none("isidentifier", arguments, {});
  const std::string_view text = self.text();
  for (size_t at = 0; at < text.size();) {
    const bool start = at == 0;
    const char32_t c = next_code_point(text, at);
    if (start ? !is_identifier_start(c) : !is_identifier_part(c)) return Value::boolean(false);
  }
  return Value::boolean(!text.empty());
}

bool ascii_code(char32_t c) noexcept { return c < 0x80; }

Value is_ascii_text(Runtime& rt, const Value& self, const Arguments& arguments) {
  if (self.text().empty()) return Value::boolean(true);
  return all_are<ascii_code>(rt, self, arguments);
}

Value is_printable_text(Runtime& rt, const Value& self, const Arguments& arguments) {
  if (self.text().empty()) return Value::boolean(true);
  return all_are<is_printable>(rt, self, arguments);
}

template <bool Left, bool Right>
Value stripped(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters p("strip", arguments, {"chars"});
  std::optional<std::string_view> chars;
  if (p.has(0) && !p[0].is_none()) chars = p.text(0);
  rt.budget.step(self.text().size() / 64 * (1 + chars.value_or("").size() / 16));
  return like(rt, self, std::string(strip(self.text(), chars, Left, Right)));
}

// The optional start and end (code points) of find, count, startswith ...: the bytes between, or nothing when start
// lies behind the end.
struct Window {
  size_t begin = 0;
  size_t end = 0;
  bool valid = true;
};
Window window_of(const Value& self, const Parameters& p) {
  const std::string_view text = self.text();
  Window w{0, text.size(), true};
  if (!p.has(1) && !p.has(2)) return w;
  const auto length = static_cast<int64_t>(self.string().length());
  const auto bound = [&](size_t i, int64_t otherwise) {
    const int64_t at = p.integer(i, otherwise);
    return at < 0 ? std::max<int64_t>(0, at + length) : at;
  };
  const int64_t start = bound(1, 0);
  const int64_t stop = std::min(bound(2, length), length);
  if (start > length || start > stop) return {0, 0, false};
  w.begin = byte_offset(text, static_cast<size_t>(start));
  w.end = byte_offset(text, static_cast<size_t>(stop));
  return w;
}

template <bool Last, bool MustExist>
Value find_in(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters p("find", arguments, {"sub", "start", "end"}, 1);
  rt.budget.step_bytes(2 * self.text().size());
  const std::string_view needle = p.text(0);
  const Window w = window_of(self, p);
  if (w.valid) {
    const std::string_view part = self.text().substr(w.begin, w.end - w.begin);
    const size_t found = Last ? find_last_text(part, needle) : find_text(part, needle);
    if (found != std::string_view::npos) {
      return Value::integer(static_cast<int64_t>(count_code_points(self.text().substr(0, w.begin + found))));
    }
  }
  if (MustExist) fail("substring not found");
  return Value::integer(-1);
}

Value count_in(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters p("count", arguments, {"sub", "start", "end"}, 1);
  rt.budget.step_bytes(self.text().size());
  const std::string_view needle = p.text(0);
  const Window w = window_of(self, p);
  if (!w.valid) return Value::integer(0);
  const std::string_view part = self.text().substr(w.begin, w.end - w.begin);
  if (needle.empty()) return Value::integer(static_cast<int64_t>(count_code_points(part)) + 1);
  int64_t count = 0;
  for (size_t at = find_text(part, needle); at != std::string_view::npos;
       at = find_text(part, needle, at + needle.size())) {
    ++count;
  }
  return Value::integer(count);
}

template <bool AtEnd>
Value has_affix(Runtime& rt, const Value& self, const Arguments& arguments) {
  constexpr std::string_view kName = AtEnd ? "endswith" : "startswith";
  const Parameters p(kName, arguments, {"prefix", "start", "end"}, 1);
  const Window w = window_of(self, p);
  const std::string_view part = self.text().substr(w.begin, w.end - w.begin);
  const auto matches = [&](const Value& affix) {
    rt.budget.step_bytes(affix.text().size());
    return w.valid && (AtEnd ? part.ends_with(affix.text()) : part.starts_with(affix.text()));
  };
  if (p[0].is_string()) return Value::boolean(matches(p[0]));
  if (!p[0].is(Kind::kTuple)) {
    fail(fmt::format("{} first arg must be str or a tuple of str, not {}", kName, type_name(p[0])));
  }
  for (const Value& affix : p[0].items()) {
    rt.budget.step();
    if (!affix.is_string())
      fail(fmt::format("tuple for {} must only contain str, not {}", kName, type_name(affix)));
    if (matches(affix)) return Value::boolean(true);
  }
  return Value::boolean(false);
}

template <bool FromRight>
Value split(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters p("split", arguments, {"sep", "maxsplit"});
  std::optional<std::string_view> separator;
  if (p.has(0) && !p[0].is_none()) separator = p.text(0);
  return rt.list(split_text(rt, self.text(), separator, p.integer(1, -1), FromRight, safe(self)));
}

Value split_lines_of(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters p("splitlines", arguments, {"keepends"});
  rt.budget.step_bytes(8 * self.text().size());
  ListBuilder lines(rt.budget);
  size_t at = 0;
  while (const auto line = next_line(self.text(), at, p.boolean(0, false))) {
    rt.budget.step();
    lines.push(rt.string(std::string(*line), safe(self)));
  }
  return rt.list(lines.take());
}

template <bool FromRight>
Value partition(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters p("partition", arguments, {"sep"}, 1);
  const std::string_view text = self.text();
  const std::string_view separator = p.text(0);
  if (separator.empty()) fail("empty separator");
  rt.budget.step_bytes(2 * text.size());
  const size_t found = FromRight ? find_last_text(text, separator) : find_text(text, separator);
  const auto piece = [&](std::string_view part) { return like(rt, self, std::string(part)); };
  if (found == std::string_view::npos) {
    return FromRight ? rt.tuple({piece({}), piece({}), piece(text)})
                     : rt.tuple({piece(text), piece({}), piece({})});
  }
  return rt.tuple(
      {piece(text.substr(0, found)), piece(separator), piece(text.substr(found + separator.size()))});
}

Value join(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters p("join", arguments, {"iterable"}, 1);
  TextBuilder out(rt.budget);
  Cursor cursor(p[0]);
  Value item;
  for (size_t i = 0; cursor.next(rt, item); ++i) {
    if (!item.is_string()) {
      fail(fmt::format("sequence item {}: expected str instance, {} found", i, type_name(item)));
    }
    if (i > 0) out.append(self.text());
    append_markup(out, item, safe(self));
  }
  return like(rt, self, out.take());
}

Value replace(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters p("replace", arguments, {"old", "new", "count"}, 2);
  TextBuilder fresh(rt.budget);
  p.text(1);
  append_markup(fresh, p[1], safe(self));
  return like(rt, self, replace_text(rt.budget, self.text(), p.text(0), fresh.view(), p.integer(2, -1)));
}

template <bool Suffix>
Value remove_affix(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters p(Suffix ? "removesuffix" : "removeprefix", arguments, {"affix"}, 1);
  std::string_view text = self.text();
  const std::string_view affix = p.text(0);
  if (Suffix && text.ends_with(affix)) text.remove_suffix(affix.size());
  if (!Suffix && text.starts_with(affix)) text.remove_prefix(affix.size());
  return like(rt, self, std::string(text));
}

template <char Align>
Value justified(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters p("just", arguments, {"width", "fillchar"}, 1);
  const std::string_view fill = p.text(1, " ");
  if (count_code_points(fill) != 1) fail("The fill character must be exactly one character long");
  const size_t width = static_cast<size_t>(std::max<int64_t>(0, p.integer(0)));
  const size_t length = self.string().length();
  const size_t missing = width > length ? width - length : 0;
  // str.center puts the odd one before the text when the width is odd.
  const size_t before = Align == '<' ? 0 : Align == '>' ? missing : missing / 2 + (missing & width & 1);
  TextBuilder out(rt.budget);
  out.append_repeated(before, fill);
  out.append(self.text());
  out.append_repeated(missing - before, fill);
  return like(rt, self, out.take());
}

Value zero_fill(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters p("zfill", arguments, {"width"}, 1);
  std::string_view text = self.text();
  const std::string_view sign = text.starts_with('-') || text.starts_with('+') ? text.substr(0, 1) : "";
  text.remove_prefix(sign.size());
  TextBuilder out(rt.budget);
  append_padded(out, sign, text, {static_cast<size_t>(std::max<int64_t>(0, p.integer(0))), "0", '='});
  return like(rt, self, out.take());
}

Value expand_tabs(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters p("expandtabs", arguments, {"tabsize"});
  const auto size = static_cast<size_t>(std::max<int64_t>(0, p.integer(0, 8)));
  TextBuilder out(rt.budget);
  size_t column = 0;
  const std::string_view text = self.text();
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t c = next_code_point(text, at);
    if (c == '\t') {
      const size_t spaces = size == 0 ? 0 : size - column % size;
      out.append(spaces, ' ');
      column += spaces;
    } else {
      out.append(text.substr(start, at - start));
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    }
  }
  return like(rt, self, out.take());
}

Value format_map(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters p("format_map", arguments, {"mapping"}, 1);
  if (!p[0].is_dict()) fail("format_map() argument must be a mapping");
  Arguments named;
  for (const auto& [key, value] : p[0].dict().items()) {
    if (key.is_string()) named.named.emplace_back(key.text(), value);
  }
  return format_braces(rt, self, named);
}

constexpr std::array kMethods = std::to_array<Method>({
    {"capitalize", mapped<to_capitalized>},
    {"casefold", mapped<fold_case>},
    {"center", justified<'^'>},
    {"count", count_in},
    {"endswith", has_affix<true>},
    {"expandtabs", expand_tabs},
    {"find", find_in<false, false>},
    {"format", format_braces},
    {"format_map", format_map},
    {"index", find_in<false, true>},
    {"isalnum", all_are<is_alnum>},
    {"isalpha", all_are<is_alpha>},
    {"isascii", is_ascii_text},
    {"isdecimal", all_are<is_decimal>},
    {"isdigit", all_are<is_digit>},
    {"isidentifier", is_identifier_text},
    {"islower", cased_without<is_upper>},
    {"isnumeric", all_are<is_numeric>},
    {"isprintable", is_printable_text},
    {"isspace", all_are<is_space>},
    {"istitle", is_title_text},
    {"isupper", cased_without<is_lower>},
    {"join", join},
    {"ljust", justified<'<'>},
    {"lower", mapped<to_lower>},
    {"lstrip", stripped<true, false>},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"replace", replace},
    {"rfind", find_in<true, false>},
    {"rindex", find_in<true, true>},
    {"rjust", justified<'>'>},
    {"rpartition", partition<true>},
    {"rsplit", split<true>},
    {"rstrip", stripped<false, true>},
    {"split", split<false>},
    {"splitlines", split_lines_of},
    {"startswith", has_affix<false>},
    {"strip", stripped<true, true>},
    {"swapcase", mapped<swap_case>},
    {"title", mapped<to_title>},
    {"upper", mapped<to_upper>},
    {"zfill", zero_fill},
});
static_assert(std::ranges::is_sorted(kMethods, {}, &Method::name));

}  // namespace

const Method* find_string_method(std::string_view name) noexcept {
  const auto row = std::ranges::lower_bound(kMethods, name, {}, &Method::name);
  return row != kMethods.end() && row->name == name ? &*row : nullptr;
}

}  // namespace mach::jinja
