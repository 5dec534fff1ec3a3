// A set of Unicode scalar values as sorted, disjoint ranges: what a character class of a grammar or a regular expression
// stands for. Surrogates are never members. Value type.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mach::grammar {

struct CharRange {
  char32_t first, last;                                // inclusive
  auto operator<=>(const CharRange&) const = default;  // NOLINT(modernize-use-nullptr): the compiler's own 0
};

class CharSet {
 public:
  CharSet() = default;
  static CharSet all();
  static CharSet of(std::u32string_view characters);
  static CharSet range(char32_t first, char32_t last);

  CharSet& add(char32_t first, char32_t last);  // clipped to scalar values
  CharSet& add(char32_t c) { return add(c, c); }
  CharSet& add(const CharSet& other);

  CharSet complement() const;
  CharSet intersected(const CharSet& other) const;
  CharSet without(const CharSet& other) const { return intersected(other.complement()); }

  bool empty() const { return ranges_.empty(); }
  bool contains(char32_t c) const;
  const std::vector<CharRange>& ranges() const { return ranges_; }
  auto operator<=>(const CharSet&) const = default;

 private:
  std::vector<CharRange> ranges_;
};

}  // namespace mach::grammar
