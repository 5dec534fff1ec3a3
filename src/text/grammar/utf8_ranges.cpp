#include "text/grammar/utf8_ranges.h"

#include <algorithm>
#include <string>

#include "base/utf8.h"

namespace mach::grammar {
namespace {

// The last code points of 1, 2, 3 and 4 byte forms.
constexpr char32_t kLastOfLength[] = {0x7F, 0x7FF, 0xFFFF, 0x10FFFF};

// [first, last] have the same length. Cut where the trailing bytes do not run over their whole range, so that each part
// is a product of byte ranges.
void split(char32_t first, char32_t last, unsigned length, std::vector<Utf8Sequence>& out) {
  for (unsigned i = 1; i < length; ++i) {
    const char32_t mask = (char32_t{1} << (6 * i)) - 1;
    if ((first & ~mask) == (last & ~mask)) continue;
    if ((first & mask) != 0) {
      split(first, first | mask, length, out);
      split((first | mask) + 1, last, length, out);
      return;
    }
    if ((last & mask) != mask) {
      split(first, (last & ~mask) - 1, length, out);
      split(last & ~mask, last, length, out);
      return;
    }
  }
  std::string low, high;
  append_utf8(low, first);
  append_utf8(high, last);
  Utf8Sequence sequence{};
  sequence.length = static_cast<uint8_t>(length);
  for (unsigned i = 0; i < length; ++i) {
    sequence.bytes[i] = {static_cast<uint8_t>(low[i]), static_cast<uint8_t>(high[i])};
  }
  out.push_back(sequence);
}

}  // namespace

std::vector<Utf8Sequence> utf8_sequences(const CharSet& set) {
  std::vector<Utf8Sequence> out;
  for (CharRange range : set.ranges()) {
    for (unsigned length = 1; length <= 4 && range.first <= range.last; ++length) {
      const char32_t end = std::min(range.last, kLastOfLength[length - 1]);
      if (range.first > end) continue;
      split(range.first, end, length, out);
      range.first = end + 1;
    }
  }
  return out;
}

}  // namespace mach::grammar
