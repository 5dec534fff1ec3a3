// Character ranges as byte ranges: every character of a range is spelled in UTF-8 by exactly one of the sequences.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "text/grammar/char_set.h"

namespace mach::grammar {

struct ByteRange {
  uint8_t first, last;  // inclusive
};

// 1 to 4 byte ranges; a byte of each in turn spells one character.
struct Utf8Sequence {
  std::array<ByteRange, 4> bytes;
  uint8_t length;
};

std::vector<Utf8Sequence> utf8_sequences(const CharSet& set);

}  // namespace mach::grammar
