// Decimal numbers between bounds as an expression: the digits are compared with the bounds' one by one, so the result is a
// small automaton and no number outside can be written. Numbers are written without exponent, and zero without a sign.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "text/grammar/grammar.h"

namespace mach::grammar {

struct Decimal {
  bool negative = false;
  std::string whole = "0";  // digits before the point, without leading zeros
  std::string fraction;     // digits behind it, without trailing zeros

  bool zero() const { return whole == "0" && fraction.empty(); }
};

// Empty for numbers with more than 18 digits before the point.
std::optional<Decimal> to_decimal(const nlohmann::ordered_json& number);

struct NumberBound {
  Decimal value;
  bool exclusive = false;
};

struct NumberRange {
  std::optional<NumberBound> low, high;
  uint32_t fraction_digits = 0;  // at most; 0: integers
  uint32_t multiple_of = 1;      // of integers: 1 to kMaxMultiple
};

inline constexpr uint32_t kMaxMultiple = 1000;

ExprId number_range(GrammarBuilder& builder, const NumberRange& range);

}  // namespace mach::grammar
