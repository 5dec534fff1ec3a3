// A check as people read it: what `mach check` prints without --json.
#pragma once

#include <string>

#include "preflight/check_report.h"

namespace mach {

std::string report_text(const CheckReport& report);
std::string matrix_text(const PathMatrix& matrix);

}  // namespace mach
