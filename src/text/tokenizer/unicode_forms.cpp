#include "text/tokenizer/unicode_forms.h"

#include <algorithm>
#include <array>
#include <vector>

#include <utf8proc.h>

#include "base/utf8.h"
#include "text/tokenizer/characters.h"

namespace mach {
namespace {

struct FormRow {
  UnicodeForm form;
  bool compose, compatibility;
  char32_t
      inert_limit;  // characters below it stay as they are and are not combined with what stands before them
};

// U+0300 is the first combining mark, and what precedes it is composed already; U+00C0 has the first canonical
// decomposition, U+00A0 the first compatibility decomposition.
constexpr std::array kForms = {
    FormRow{UnicodeForm::kNfc, true, false, 0x300},
    FormRow{UnicodeForm::kNfd, false, false, 0xc0},
    FormRow{UnicodeForm::kNfkc, true, true, 0xa0},
    FormRow{UnicodeForm::kNfkd, false, true, 0xa0},
};
static_assert(kForms[static_cast<size_t>(UnicodeForm::kNfkd)].form == UnicodeForm::kNfkd);

bool is_inert(const FormRow& row, char32_t c) {
  return c < row.inert_limit || (c >= 0x3400 && c <= 0x9fff);  // CJK ideographs, hexagrams
}

void append_decomposed(const FormRow& row, char32_t c, std::vector<utf8proc_int32_t>& out) {
  constexpr size_t kLongest = 32;  // U+FDFA has 18
  std::array<utf8proc_int32_t, kLongest> buffer{};
  const int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (row.compatibility ? UTF8PROC_COMPAT : 0);
  int boundary = 0;
  const utf8proc_ssize_t count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), buffer.data(), kLongest,
                              static_cast<utf8proc_option_t>(options), &boundary);
  if (count < 0 || count > static_cast<utf8proc_ssize_t>(kLongest)) {
    out.push_back(static_cast<utf8proc_int32_t>(c));
    return;
  }
  out.insert(out.end(), buffer.begin(), buffer.begin() + count);
}

int combining_class(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

void order_canonically(std::vector<utf8proc_int32_t>& text) {
  for (auto it = text.begin(); it != text.end();) {
    if (combining_class(*it) == 0) {
      ++it;
      continue;
    }
    const auto run_end =
        std::find_if(it, text.end(), [](utf8proc_int32_t c) { return combining_class(c) == 0; });
    std::stable_sort(it, run_end, [](utf8proc_int32_t a, utf8proc_int32_t b) {
      return combining_class(a) < combining_class(b);
    });
    it = run_end;
  }
}

void append_normalized(const FormRow& row, std::string_view text, std::vector<utf8proc_int32_t>& scratch,
                       std::string& out) {
  scratch.clear();
  for (size_t pos = 0; pos < text.size();) {
    const Character c = character_at(text, pos);
    append_decomposed(row, c.code_point, scratch);
    pos += c.length;
  }
  order_canonically(scratch);
  auto length = static_cast<utf8proc_ssize_t>(scratch.size());
  if (row.compose) {
    length = utf8proc_normalize_utf32(scratch.data(), length,
                                      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  }
  for (utf8proc_ssize_t i = 0; i < length; ++i) {
    append_utf8(out, static_cast<char32_t>(scratch[static_cast<size_t>(i)]));
  }
}

}  // namespace

bool normalize_unicode(std::string_view text, UnicodeForm form, std::string& out) {
  const FormRow& row = kForms[static_cast<size_t>(form)];
  std::vector<utf8proc_int32_t> scratch;
  bool changed = false;
  size_t done = 0;      // copied to out
  size_t previous = 0;  // start of the character before pos
  for (size_t pos = 0; pos < text.size();) {
    Character c = character_at(text, pos);
    if (is_inert(row, c.code_point)) {
      previous = pos;
      pos += c.length;
      continue;
    }
    // A stretch that needs work, with the inert character before it, which may take part in a composition.
    const size_t begin = previous;
    while (pos < text.size()) {
      c = character_at(text, pos);
      if (is_inert(row, c.code_point)) break;
      pos += c.length;
    }
    if (!changed) {
      changed = true;
      out.clear();
    }
    out.append(text.substr(done, begin - done));
    append_normalized(row, text.substr(begin, pos - begin), scratch, out);
    done = previous = pos;
  }
  if (changed) out.append(text.substr(done));
  return changed;
}

}  // namespace mach
