// tokenizer.json writes its regular expressions in Oniguruma's Ruby syntax; we run PCRE2. The two read many patterns
// alike but not all: \s, \w, \h, \b, (?m), x{2}+, nested classes and && differ. This translates the part that pre-tokenisers
// use into PCRE2 with the same meaning and refuses the rest (back references, recursion, \K, callouts, verbs), so a pattern
// of a hostile file has no constructs we have not thought about.
//
// Known difference that stays: the Unicode version of the tables (PCRE2 10.42: Unicode 14), for characters assigned later.
// Source: Oniguruma doc/RE, doc/UNICODE_PROPERTIES; pcre2pattern(3). Character classes were compared code point by code point.
#pragma once

#include <string>
#include <string_view>

namespace mach {

// Compile the result with UTF, UCP, MULTILINE and a line feed as the only newline. `where` names the field in errors:
// Error{kUnsupported} with the construct and its byte offset.
std::string translate_oniguruma(std::string_view pattern, const std::string& where);

}  // namespace mach
