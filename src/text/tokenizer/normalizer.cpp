#include "text/tokenizer/normalizer.h"

#include <utility>

#include <utf8proc.h>

#include "base/utf8.h"
#include "text/tokenizer/characters.h"
#include "text/tokenizer/regex_matches.h"

namespace mach {
namespace {

constexpr std::string_view kSupported =
    "supported are NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Prepend, Replace and Sequence";

constexpr std::pair<std::string_view, UnicodeForm> kForms[] = {{"NFC", UnicodeForm::kNfc},
                                                               {"NFD", UnicodeForm::kNfd},
                                                               {"NFKC", UnicodeForm::kNfkc},
                                                               {"NFKD", UnicodeForm::kNfkd}};

void append_lowercase(char32_t c, std::string& out) {
  if (c == 0x130) {  // the only character whose lower case is two: I with dot above
    append_utf8(out, U'i');
    append_utf8(out, 0x307);
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  }
}

template <class PerCharacter>
void for_each_character(std::string_view text, PerCharacter per_character) {
  for (size_t pos = 0; pos < text.size();) {
    const Character c = character_at(text, pos);
    per_character(c.code_point);
    pos += c.length;
  }
}

}  // namespace

bool replace_all(std::string_view text, std::string_view from, std::string_view to, std::string& out) {
  size_t found = text.find(from);
  if (found == std::string_view::npos) return false;
  out.clear();
  size_t done = 0;
  for (; found != std::string_view::npos; found = text.find(from, done)) {
    out.append(text.substr(done, found - done)).append(to);
    done = found + from.size();
  }
  out.append(text.substr(done));
  return true;
}

bool replace_all(std::string_view text, const Regex& pattern, std::string_view to, RegexScratch& scratch,
                 std::string& out) {
  bool any = false;
  size_t done = 0;
  if (text.empty()) return false;
  for_each_match(pattern, text, scratch, [&](RegexMatch match) {
    if (!any) out.clear();
    any = true;
    out.append(text.substr(done, match.begin - done)).append(to);
    done = match.end;
  });
  if (any) out.append(text.substr(done));
  return any;
}

Normalizer::Normalizer(const Component& component) {
  if (!component.is_null()) add(component, 0);
}

void Normalizer::add(const Component& component, int depth) {
  const std::string type = component.type();
  for (const auto& [name, form] : kForms) {
    if (type == name) {
      steps_.emplace_back(form);
      return;
    }
  }
  if (type == "Sequence") {
    if (depth == kMaxSequenceDepth) component.fail_unsupported("type", "Sequences may not nest deeper");
    for (const Component& child : component.children("normalizers")) add(child, depth + 1);
  } else if (type == "Lowercase") {
    steps_.emplace_back(Lowercase{});
  } else if (type == "StripAccents") {
    steps_.emplace_back(StripAccents{});
  } else if (type == "Strip") {
    steps_.emplace_back(Strip{component.boolean("strip_left"), component.boolean("strip_right")});
  } else if (type == "Prepend") {
    steps_.emplace_back(Prepend{component.string("prepend")});
  } else if (type == "Replace") {
    add_replace(component);
  } else {
    component.fail_unsupported("type", kSupported);
  }
}

void Normalizer::add_replace(const Component& component) {
  Component::Pattern pattern = component.pattern("pattern");
  std::string to = component.string("content");
  if (pattern.is_regex) {
    steps_.emplace_back(ReplaceRegex{Regex(pattern.text, pattern.path), std::move(to)});
  } else if (pattern.text.empty()) {
    component.fail_unsupported("pattern", "an empty string matches everywhere");
  } else {
    steps_.emplace_back(ReplaceString{std::move(pattern.text), std::move(to)});
  }
}

std::string_view Normalizer::apply(std::string_view text, Buffers& buffers, RegexScratch& regex) const {
  std::string_view current = text;
  for (const Step& step : steps_) {
    std::string& out = buffers.next;
    bool changed = false;
    if (const auto* form = std::get_if<UnicodeForm>(&step)) {
      changed = normalize_unicode(current, *form, out);
    } else if (std::holds_alternative<Lowercase>(step)) {
      changed = true;
      out.clear();
      for_each_character(current, [&](char32_t c) { append_lowercase(c, out); });
    } else if (std::holds_alternative<StripAccents>(step)) {
      changed = true;
      out.clear();
      for_each_character(current, [&](char32_t c) {
        if (!is_mark(c)) append_utf8(out, c);
      });
    } else if (const auto* strip = std::get_if<Strip>(&step)) {
      if (strip->left) current.remove_prefix(leading_white_space(current));
      if (strip->right) current.remove_suffix(trailing_white_space(current));
    } else if (const auto* prepend = std::get_if<Prepend>(&step)) {
      changed = !current.empty();
      if (changed) out.assign(prepend->prefix).append(current);
    } else if (const auto* string = std::get_if<ReplaceString>(&step)) {
      changed = replace_all(current, string->from, string->to, out);
    } else if (const auto* pattern = std::get_if<ReplaceRegex>(&step)) {
      changed = replace_all(current, pattern->pattern, pattern->to, regex, out);
    }
    if (changed) {
      buffers.text.swap(buffers.next);
      current = buffers.text;
    }
  }
  return current;
}

}  // namespace mach
