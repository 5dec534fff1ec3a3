#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "text/jinja/failure.h"
#include "text/jinja/format.h"
#include "text/jinja/lookup.h"
#include "text/jinja/markup.h"
#include "text/jinja/print.h"

namespace mach::jinja {
namespace {

constexpr int kMostNesting = 2;  // "{:{width}}", and no deeper

std::optional<int64_t> to_index(std::string_view text) {
  int64_t index = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (text.empty() || text.front() == '-' || error != std::errc() || end != text.data() + text.size())
    return {};
  return index;
}

class BracesFormatter {
 public:
  BracesFormatter(Runtime& rt, const Arguments& arguments, bool safe)
      : rt_(rt), arguments_(arguments), safe_(safe) {}

  void run(TextBuilder& out, std::string_view format, int nesting) {
    if (nesting > kMostNesting) fail("Max string recursion exceeded");
    for (size_t at = 0; at < format.size();) {
      const size_t brace = format.find_first_of("{}", at);
      out.append(format.substr(at, brace - at));
      if (brace == std::string_view::npos) return;
      rt_.budget.step();
      at = brace + 1;
      if (at < format.size() && format[at] == format[brace]) {
        out.append(1, format[at++]);
      } else if (format[brace] == '}') {
        fail("Single '}' encountered in format string");
      } else {
        field(out, field_text(format, at), nesting);
      }
    }
  }

 private:
  // What stands between the brace before `at` and its partner; moves `at` behind that.
  static std::string_view field_text(std::string_view format, size_t& at) {
    const size_t start = at;
    int open = 1;
    bool in_brackets = false;
    for (; at < format.size(); ++at) {
      const char c = format[at];
      if (c == '[') in_brackets = true;
      if (c == ']') in_brackets = false;
      if (in_brackets) continue;
      if (c == '{') ++open;
      if (c == '}' && --open == 0) return format.substr(start, at++ - start);
    }
    fail("expected '}' before end of string");
  }

  // name[!conversion][:spec]
  void field(TextBuilder& out, std::string_view text, int nesting) {
    size_t end = 0;
    bool in_brackets = false;
    for (; end < text.size(); ++end) {
      if (text[end] == '[') in_brackets = true;
      if (text[end] == ']') in_brackets = false;
      if (!in_brackets && (text[end] == '!' || text[end] == ':')) break;
    }
    Value value = lookup(text.substr(0, end));
    if (end < text.size() && text[end] == '!') {
      const char conversion = end + 1 < text.size() ? text[end + 1] : '\0';
      end += 2;
      if (end < text.size() && text[end] != ':') fail("expected ':' after conversion specifier");
      value = convert(value, conversion);
    }
    TextBuilder spec(rt_.budget);
    if (end < text.size()) run(spec, text.substr(end + 1), nesting + 1);
    if (safe_ && !(value.is_string() && value.string().safe())) {
      TextBuilder plain(rt_.budget);
      append_formatted(plain, value, spec.view());
      append_escaped(out, plain.view());
    } else {
      append_formatted(out, value, spec.view());
    }
  }

  Value convert(const Value& value, char conversion) {
    TextBuilder out(rt_.budget);
    if (conversion == 's') {
      append_str(out, value);
    } else if (conversion == 'r' || conversion == 'a') {
      append_repr(out, value);
    } else {
      fail(fmt::format("Unknown conversion specifier '{}'", conversion));
    }
    return rt_.string(out.take());
  }

  // first[.name | [key]]...
  Value lookup(std::string_view name) {
    const size_t end = std::min(name.find_first_of(".["), name.size());
    Value value = first(name.substr(0, end));
    name.remove_prefix(end);
    while (!name.empty()) {
      const bool attribute = name.front() == '.';
      const size_t stop = attribute ? std::min(name.find_first_of(".[", 1), name.size()) : name.find(']');
      if (stop == std::string_view::npos || stop == 1) fail("Empty attribute in format string");
      const std::string_view part = name.substr(1, stop - 1);
      if (attribute) {
        value = get_attribute(rt_, value, rt_.string(std::string(part)));
      } else {
        const auto index = to_index(part);
        value = get_item(rt_, value, index ? Value::integer(*index) : rt_.string(std::string(part)));
      }
      name.remove_prefix(stop + (attribute ? 0 : 1));
    }
    return value;
  }

  Value first(std::string_view name) {
    std::optional<int64_t> index = to_index(name);
    if (name.empty()) {
      if (numbered_) fail("cannot switch from manual field specification to automatic field numbering");
      index = automatic_++;
    } else if (index) {
      if (automatic_ > 0) fail("cannot switch from automatic field numbering to manual field specification");
      numbered_ = true;
    }
    if (!index) {
      if (const Value* value = arguments_.find(name)) return *value;
      fail(fmt::format("format: no argument named '{}'", name));
    }
    if (static_cast<size_t>(*index) >= arguments_.positional.size()) {
      fail(fmt::format("Replacement index {} out of range for positional args tuple", *index));
    }
    return arguments_.positional[static_cast<size_t>(*index)];
  }

  Runtime& rt_;
  const Arguments& arguments_;
  bool safe_;
  int64_t automatic_ = 0;
  bool numbered_ = false;
};

}  // namespace

Value format_braces(Runtime& rt, const Value& string, const Arguments& arguments) {
  TextBuilder out(rt.budget);
  const bool safe = string.string().safe();
  BracesFormatter(rt, arguments, safe).run(out, string.text(), 0);
  return rt.string(out.take(), safe);
}

}  // namespace mach::jinja
