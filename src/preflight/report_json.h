// A check as JSON: docs/schemas/check.schema.json and check-matrix.schema.json. Bytes are bytes, rates bytes per second.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "preflight/check_report.h"

namespace mach {

nlohmann::ordered_json report_json(const CheckReport& report);
nlohmann::ordered_json matrix_json(const PathMatrix& matrix);

}  // namespace mach
