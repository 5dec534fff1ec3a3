#include "text/grammar/char_set.h"

#include <algorithm>
#include <string_view>

namespace mach::grammar {
namespace {

constexpr char32_t kLast = 0x10FFFF;
constexpr CharRange kSurrogates = {0xD800, 0xDFFF};

}  // namespace

CharSet CharSet::all() { return range(0, kLast); }

CharSet CharSet::of(std::u32string_view characters) {
  CharSet set;
  for (const char32_t c : characters) set.add(c);
  return set;
}

CharSet CharSet::range(char32_t first, char32_t last) { return CharSet().add(first, last); }

CharSet& CharSet::add(char32_t first, char32_t last) {
  last = std::min(last, kLast);
  if (first > last) return *this;
  if (first <= kSurrogates.last && last >= kSurrogates.first) {
    if (first < kSurrogates.first) add(first, kSurrogates.first - 1);
    if (last > kSurrogates.last) add(kSurrogates.last + 1, last);
    return *this;
  }
  // The ranges that touch or overlap [first, last] melt into one.
  const auto begin = std::find_if(ranges_.begin(), ranges_.end(),
                                  [first](const CharRange& r) { return r.last + 1 >= first; });
  auto end = begin;
  while (end != ranges_.end() && end->first <= last + 1) {
    first = std::min(first, end->first);
    last = std::max(last, end->last);
    ++end;
  }
  ranges_.insert(ranges_.erase(begin, end), CharRange{first, last});
  return *this;
}

CharSet& CharSet::add(const CharSet& other) {
  for (const CharRange& r : other.ranges_) add(r.first, r.last);
  return *this;
}

CharSet CharSet::complement() const {
  CharSet set;
  char32_t next = 0;
  for (const CharRange& r : ranges_) {
    if (r.first > next) set.add(next, r.first - 1);
    next = r.last + 1;
  }
  return set.add(next, kLast);
}

CharSet CharSet::intersected(const CharSet& other) const {
  CharSet set;
  auto a = ranges_.begin();
  auto b = other.ranges_.begin();
  while (a != ranges_.end() && b != other.ranges_.end()) {
    const char32_t first = std::max(a->first, b->first);
    const char32_t last = std::min(a->last, b->last);
    if (first <= last) set.ranges_.push_back({first, last});
    if (a->last < b->last) {
      ++a;
    } else {
      ++b;
    }
  }
  return set;
}

bool CharSet::contains(char32_t c) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [c](const CharRange& r) { return r.first <= c && c <= r.last; });
}

}  // namespace mach::grammar
