#include "mach/error.h"

#include <array>

namespace mach {
namespace {

constexpr std::array kRows = {
    ErrorRow{ErrorCode::kUsage, "usage", 400, 2, "invalid_request_error"},
    ErrorRow{ErrorCode::kInvalidRequest, "invalid_request", 400, 3, "invalid_request_error"},
    ErrorRow{ErrorCode::kUnauthorized, "unauthorized", 401, 4, "authentication_error"},
    ErrorRow{ErrorCode::kNotFound, "not_found", 404, 5, "not_found_error"},
    ErrorRow{ErrorCode::kTooLarge, "too_large", 413, 6, "invalid_request_error"},
    ErrorRow{ErrorCode::kOverloaded, "overloaded", 429, 7, "rate_limit_error"},
    ErrorRow{ErrorCode::kUnsupported, "unsupported", 400, 8, "invalid_request_error"},
    ErrorRow{ErrorCode::kCorruptFile, "corrupt_file", 500, 9, "server_error"},
    ErrorRow{ErrorCode::kOutOfBudget, "out_of_budget", 503, 10, "server_error"},
    ErrorRow{ErrorCode::kIo, "io", 500, 11, "server_error"},
    ErrorRow{ErrorCode::kCancelled, "cancelled", 499, 130, "cancelled"},
    ErrorRow{ErrorCode::kInternal, "internal", 500, 70, "server_error"},
};

constexpr bool in_enum_order() {
  for (size_t i = 0; i < kRows.size(); ++i) {
    if (static_cast<size_t>(kRows[i].code) != i) return false;
  }
  return kRows.size() == static_cast<size_t>(ErrorCode::kInternal) + 1;
}
static_assert(in_enum_order());

}  // namespace

std::span<const ErrorRow> error_rows() noexcept { return kRows; }

const ErrorRow& error_row(ErrorCode code) noexcept { return kRows[static_cast<size_t>(code)]; }

}  // namespace mach
