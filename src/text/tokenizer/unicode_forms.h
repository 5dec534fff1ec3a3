// The four Unicode normalisation forms (UAX #15), with the tables of utf8proc. Time is linear in the text but for the
// sorting of runs of combining marks, which is n log n in the run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mach {

enum class UnicodeForm : uint8_t { kNfc, kNfd, kNfkc, kNfkd };

// Valid UTF-8 in. True when `out` was overwritten with a normalised text; false when `text` already was one by inspection
// of its characters alone, and `out` is untouched.
bool normalize_unicode(std::string_view text, UnicodeForm form, std::string& out);

}  // namespace mach
