#include "text/grammar/number_range.h"

#include <array>
#include <charconv>
#include <compare>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace mach::grammar {
namespace {

constexpr size_t kMaxWholeDigits = 18;

char digit_at(const std::string& digits, size_t i) { return i < digits.size() ? digits[i] : '0'; }

// The magnitudes between two bounds, both not negative, as a graph. A node knows how many digits are to come before the
// point, how many came behind it, whether the digits so far equal those of a bound, and the remainder so far.
class MagnitudeGraph {
 public:
  MagnitudeGraph(GrammarBuilder& builder, const NumberBound& low, const std::optional<NumberBound>& high,
                 const NumberRange& range)
      : b_(builder), low_(low), high_(high), range_(range) {}

  ExprId build() {
    const size_t least = low_.value.whole.size();
    const size_t most = high_ ? high_->value.whole.size() : kMaxWholeDigits;
    node({});  // the start, before the number of digits is chosen
    for (size_t digits = least; digits <= most; ++digits) {
      const Place place{.left = static_cast<uint32_t>(digits),
                        .first = true,
                        .at_low = digits == least,
                        .at_high = high_ && digits == most};
      edges_.push_back({0, node(place), b_.empty()});
    }
    while (done_ < pending_.size()) {
      const Place place = pending_[done_++];
      if (place.left > 0) {
        whole_digit(place);
      } else if (!(place == Place{})) {
        behind_whole(place);
      }
    }
    return b_.graph(static_cast<uint32_t>(pending_.size()), std::move(edges_), std::move(accepting_));
  }

 private:
  struct Place {
    uint32_t left = 0;  // digits before the point, to come
    uint32_t behind = 0;
    bool first = false, pointed = false, at_low = false, at_high = false, inside = false;
    uint32_t remainder = 0;
    auto operator<=>(const Place&) const = default;
  };

  uint32_t node(const Place& place) {
    const auto [it, fresh] = nodes_.try_emplace(place, static_cast<uint32_t>(pending_.size()));
    if (fresh) pending_.push_back(place);
    return it->second;
  }

  ExprId digit(char d) {
    ExprId& expr = digits_.at(static_cast<size_t>(d - '0'));
    if (expr == ExprId{}) expr = b_.bytes(std::string(1, d));
    return expr;
  }

  void whole_digit(const Place& place) {
    const size_t low_at = low_.value.whole.size() - place.left;
    const size_t high_at = high_ ? high_->value.whole.size() - place.left : 0;
    for (char d = place.first && place.left > 1 ? '1' : '0'; d <= '9'; ++d) {
      const char low = place.at_low ? low_.value.whole[low_at] : '0';
      const char high = place.at_high ? high_->value.whole[high_at] : '9';
      if (d < low || d > high) continue;
      Place next = place;
      next.left -= 1;
      next.first = false;
      next.inside = true;
      next.at_low = place.at_low && d == low;
      next.at_high = place.at_high && d == high;
      next.remainder = (place.remainder * 10 + static_cast<uint32_t>(d - '0')) % range_.multiple_of;
      edges_.push_back({node(place), node(next), digit(d)});
    }
  }

  void behind_whole(const Place& place) {
    const uint32_t from = node(place);
    const bool may_end = !place.pointed || place.behind > 0;
    if (may_end && place.remainder == 0 && within(place)) accepting_.push_back(from);
    if (!place.pointed) {
      if (range_.fraction_digits == 0) return;
      Place next = place;
      next.pointed = true;
      edges_.push_back({from, node(next), b_.bytes(".")});
      return;
    }
    if (place.behind >= range_.fraction_digits) return;
    for (char d = '0'; d <= '9'; ++d) {
      const char low = place.at_low ? digit_at(low_.value.fraction, place.behind) : '0';
      const char high = place.at_high ? digit_at(high_->value.fraction, place.behind) : '9';
      if (d < low || d > high) continue;
      Place next = place;
      next.behind += 1;
      next.at_low = place.at_low && d == low;
      next.at_high = place.at_high && d == high;
      edges_.push_back({from, node(next), digit(d)});
    }
  }

  // Whether the number as it stands is within the bounds.
  bool within(const Place& place) const {
    if (place.at_low) {
      if (place.behind < low_.value.fraction.size()) return false;
      if (low_.exclusive) return false;
    }
    return !place.at_high || !high_->exclusive || place.behind < high_->value.fraction.size();
  }

  GrammarBuilder& b_;
  const NumberBound low_;
  const std::optional<NumberBound> high_;
  const NumberRange& range_;
  std::map<Place, uint32_t> nodes_;
  std::vector<Place> pending_;  // by node
  size_t done_ = 0;
  std::vector<GraphEdge> edges_;
  std::vector<uint32_t> accepting_;
  std::array<ExprId, 10> digits_{};
};

}  // namespace

std::optional<Decimal> to_decimal(const nlohmann::ordered_json& number) {
  std::array<char, 400> text{};
  std::to_chars_result end{};
  if (number.is_number_unsigned()) {
    end = std::to_chars(text.begin(), text.end(), number.get<uint64_t>());
  } else if (number.is_number_integer()) {
    end = std::to_chars(text.begin(), text.end(), number.get<int64_t>());
  } else {
    end = std::to_chars(text.begin(), text.end(), number.get<double>(), std::chars_format::fixed);
  }
  std::string digits(text.begin(), end.ptr);
  Decimal out;
  if (digits.starts_with('-')) {
    out.negative = true;
    digits.erase(0, 1);
  }
  const size_t point = std::min(digits.find('.'), digits.size());
  out.whole = digits.substr(0, point);
  if (point < digits.size()) out.fraction = digits.substr(point + 1);
  while (out.fraction.ends_with('0')) out.fraction.pop_back();
  if (out.whole.size() > kMaxWholeDigits) return std::nullopt;
  if (out.zero()) out.negative = false;
  return out;
}

ExprId number_range(GrammarBuilder& builder, const NumberRange& range) {
  const NumberBound zero{};
  std::vector<ExprId> ways;
  // From zero up.
  if (!range.high || !range.high->value.negative) {
    const NumberBound low = range.low && !range.low->value.negative ? *range.low : zero;
    ways.push_back(MagnitudeGraph(builder, low, range.high, range).build());
  }
  // Below zero, by their magnitudes: the bounds change places.
  if (!range.low || range.low->value.negative) {
    NumberBound nearest{.value = {}, .exclusive = true};
    if (range.high && range.high->value.negative) nearest = *range.high;
    nearest.value.negative = false;
    std::optional<NumberBound> farthest = range.low;
    if (farthest) farthest->value.negative = false;
    ways.push_back(
        builder.sequence({builder.bytes("-"), MagnitudeGraph(builder, nearest, farthest, range).build()}));
  }
  return ways.empty() ? builder.nothing() : builder.choice(std::move(ways));
}

}  // namespace mach::grammar
