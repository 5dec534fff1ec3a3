#include "text/jinja/budget.h"

#include <fmt/format.h>

#include "text/jinja/failure.h"

namespace mach::jinja {

void Budget::out_of_steps() const {
  fail(ErrorCode::kTooLarge, fmt::format("the rendering takes more than {} steps", limits_.steps));
}

void Budget::out_of_memory() const {
  fail(ErrorCode::kTooLarge,
       fmt::format("the rendering needs more than {} bytes for its values", limits_.live_bytes));
}

void Budget::text_too_long() const {
  fail(ErrorCode::kTooLarge, fmt::format("a text grows beyond {} bytes", limits_.text_bytes));
}

}  // namespace mach::jinja
