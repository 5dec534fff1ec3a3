#include "text/jinja/json_text.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "text/jinja/failure.h"
#include "text/jinja/object.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/unicode.h"

namespace mach::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(TextBuilder& out, const JsonStyle& style) : out_(out), style_(style) {}

  void value(const Value& v, size_t level) {
    out_.budget().step();
    switch (v.kind()) {
      case Kind::kNone:
        out_.append("null");
        return;
      case Kind::kBool:
        out_.append(v.as_bool() ? "true" : "false");
        return;
      case Kind::kInt:
      case Kind::kBigInt:
        append_str(out_, v);
        return;
      case Kind::kFloat:
        out_.append(number(v.as_float()));
        return;
      case Kind::kString:
        text(v.text());
        return;
      case Kind::kList:
      case Kind::kTuple:
        list(v.items(), level);
        return;
      case Kind::kDict:
        dict(v.dict(), level);
        return;
      default:
        fail(fmt::format("Object of type {} is not JSON serializable", type_name(v)));
    }
  }

 private:
  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return float_repr(value);
  }

  void text(std::string_view text) {
    out_.append("\"");
    size_t plain = 0;
    for (size_t at = 0; at < text.size();) {
      const size_t start = at;
      const auto byte = static_cast<unsigned char>(text[at]);
      if (byte >= 0x20 && byte != '"' && byte != '\\' && (!style_.ensure_ascii || byte < 0x7F)) {
        ++at;
        continue;
      }
      const char32_t c = next_code_point(text, at);
      out_.append(text.substr(plain, start - plain));
      plain = at;
      switch (c) {
        case '"':
          out_.append("\\\"");
          break;
        case '\\':
          out_.append("\\\\");
          break;
        case '\n':
          out_.append("\\n");
          break;
        case '\r':
          out_.append("\\r");
          break;
        case '\t':
          out_.append("\\t");
          break;
        case '\f':
          out_.append("\\f");
          break;
        case '\b':
          out_.append("\\b");
          break;
        default: {
          std::string escape;
          append_unicode_escape(escape, c);
          out_.append(escape);
        }
      }
    }
    out_.append(text.substr(plain));
    out_.append("\"");
  }

  void key(const Value& k) {
    switch (k.kind()) {
      case Kind::kString:
        text(k.text());
        return;
      case Kind::kNone:
        out_.append("\"null\"");
        return;
      case Kind::kBool:
        out_.append(k.as_bool() ? "\"true\"" : "\"false\"");
        return;
      case Kind::kInt:
      case Kind::kBigInt:
        out_.append("\"");
        append_str(out_, k);
        out_.append("\"");
        return;
      case Kind::kFloat:
        out_.append("\"" + number(k.as_float()) + "\"");
        return;
      default:
        fail(fmt::format("keys must be str, int, float, bool or None, not {}", type_name(k)));
    }
  }

  void new_line(size_t level) {
    if (!style_.indent) return;
    out_.append("\n");
    out_.append_repeated(level, *style_.indent);
  }

  void list(const std::vector<Value>& items, size_t level) {
    if (items.empty()) return out_.append("[]");
    out_.append("[");
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_.append(style_.item_separator);
      new_line(level + 1);
      value(items[i], level + 1);
    }
    new_line(level);
    out_.append("]");
  }

  void dict(const DictNode& dict, size_t level) {
    if (dict.items().empty()) return out_.append("{}");
    std::vector<const DictNode::Items::value_type*> entries;
    entries.reserve(dict.items().size());
    for (const auto& entry : dict.items()) entries.push_back(&entry);
    if (style_.sort_keys) {
      std::ranges::stable_sort(
          entries, [&](const auto* a, const auto* b) { return less(out_.budget(), a->first, b->first); });
    }
    out_.append("{");
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_.append(style_.item_separator);
      new_line(level + 1);
      key(entries[i]->first);
      out_.append(style_.key_separator);
      value(entries[i]->second, level + 1);
    }
    new_line(level);
    out_.append("}");
  }

  TextBuilder& out_;
  const JsonStyle& style_;
};

Value convert(Budget* budget, const nlohmann::ordered_json& json, uint32_t level) {
  if (level > Limits::kNesting) {
    fail(ErrorCode::kTooLarge, fmt::format("the input nests deeper than {} levels", Limits::kNesting));
  }
  if (budget != nullptr) budget->step();
  switch (json.type()) {
    case nlohmann::ordered_json::value_t::boolean:
      return Value::boolean(json.get<bool>());
    case nlohmann::ordered_json::value_t::number_integer:
      return Value::integer(json.get<int64_t>());
    case nlohmann::ordered_json::value_t::number_unsigned: {
      const auto number = json.get<uint64_t>();
      if (number > static_cast<uint64_t>(INT64_MAX))
        return make_big_int(budget, fmt::format_int(number).str());
      return Value::integer(static_cast<int64_t>(number));
    }
    case nlohmann::ordered_json::value_t::number_float:
      return Value::number(json.get<double>());
    case nlohmann::ordered_json::value_t::string: {
      const auto& text = json.get_ref<const std::string&>();
      if (!is_valid_utf8(text)) fail("a text of the input is not UTF-8");
      return make_string(budget, text);
    }
    case nlohmann::ordered_json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const auto& item : json) items.push_back(convert(budget, item, level + 1));
      return make_list(budget, std::move(items));
    }
    case nlohmann::ordered_json::value_t::object: {
      DictNode::Items items;
      items.reserve(json.size());
      for (const auto& [key, value] : json.items()) {
        if (!is_valid_utf8(key)) fail("a key of the input is not UTF-8");
        items.emplace_back(make_string(budget, key), convert(budget, value, level + 1));
      }
      return make_dict(budget, std::move(items));
    }
    default:
      return {};
  }
}

}  // namespace

void append_json(TextBuilder& out, const Value& value, const JsonStyle& style) {
  JsonWriter(out, style).value(value, 0);
}

Value from_json(Budget* budget, const nlohmann::ordered_json& json) { return convert(budget, json, 0); }

}  // namespace mach::jinja
