// The operators of expressions, with Python's rules: which types mix, floor division, chained text and list repetition,
// ordering, membership, slices. All throw Failure where Python raises TypeError, ZeroDivisionError or OverflowError.
#pragma once

#include <cstdint>

#include "text/jinja/runtime.h"

namespace mach::jinja {

enum class BinaryOp : uint8_t { kAdd, kSub, kMul, kDiv, kFloorDiv, kMod, kPow };
enum class CompareOp : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kIn, kNotIn };

bool truthy(const Value& value);
bool equal(Budget& budget, const Value& a, const Value& b);
bool less(Budget& budget, const Value& a, const Value& b);  // a < b
bool compare(Runtime& rt, CompareOp op, const Value& a, const Value& b);
bool contains(Runtime& rt, const Value& container, const Value& item);

Value binary(Runtime& rt, BinaryOp op, const Value& a, const Value& b);
Value negate(Runtime& rt, const Value& value);
Value plus(Runtime& rt, const Value& value);

// len(value).
int64_t length_of(const Value& value);
// value[start:stop:step]; None stands for what is left out.
Value slice(Runtime& rt, const Value& value, const Value& start, const Value& stop, const Value& step);

// Throws the Failure that any use of an undefined value but printing, looping and testing ends in.
[[noreturn]] void fail_undefined(const Value& undefined);

}  // namespace mach::jinja
