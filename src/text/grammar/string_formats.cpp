#include "text/grammar/string_formats.h"

#include <limits>

namespace mach::grammar {
namespace {

// Parts of patterns. They admit less than the standards do where that keeps them small: years 1000 to 9999, no leap
// seconds, e-mail addresses without quoted parts, URIs without user names.
#define MACH_LEAP_YEAR "(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)"
#define MACH_DATE                                                     \
  "(?:[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])" \
  "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|" MACH_LEAP_YEAR "-02-29)"
#define MACH_TIME \
  "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
#define MACH_BYTE "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define MACH_LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]{0,20}[A-Za-z0-9])?"
#define MACH_HOST MACH_LABEL "(?:\\." MACH_LABEL ")*"
#define MACH_URI_TAIL "[A-Za-z0-9._~!$&'()*+,;=:@/?-]"

constexpr StringFormat kFormats[] = {
    {.name = "date", .pattern = "^" MACH_DATE "$"},
    {.name = "time", .pattern = "^" MACH_TIME "$"},
    {.name = "date-time", .pattern = "^" MACH_DATE "T" MACH_TIME "$"},
    {.name = "duration",
     .pattern =
         "^P(?:[0-9]{1,9}W|[0-9]{1,9}D(?:T[0-9]{1,9}[HMS])?|[0-9]{1,9}Y(?:[0-9]{1,2}M(?:[0-9]{1,2}D)?)?"
         "|[0-9]{1,9}M(?:[0-9]{1,2}D)?|T(?:[0-9]{1,9}H(?:[0-9]{1,2}M(?:[0-9]{1,2}S)?)?"
         "|[0-9]{1,9}M(?:[0-9]{1,2}S)?|[0-9]{1,9}S))$"},
    {.name = "email",
     .pattern = "^[A-Za-z0-9_+-]+(?:\\.[A-Za-z0-9_+-]+)*@" MACH_LABEL "(?:\\." MACH_LABEL ")+$"},
    {.name = "uuid", .pattern = "^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"},
    {.name = "ipv4", .pattern = "^" MACH_BYTE "(?:\\." MACH_BYTE "){3}$"},
    {.name = "ipv6",
     .pattern = "^(?:(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|::1|::|[0-9a-fA-F]{1,4}::[0-9a-fA-F]{1,4})$"},
    {.name = "hostname", .pattern = "^" MACH_HOST "$"},
    {.name = "uri",
     .pattern = "^[a-z][a-z0-9+.-]{0,15}://" MACH_HOST "(?::[1-9][0-9]{0,3})?(?:/" MACH_URI_TAIL "*)?$"},
    {.name = "uri-reference", .pattern = "^(?:https?://" MACH_HOST ")?/" MACH_URI_TAIL "*$"},
    {.name = "json-pointer", .pattern = "^(?:/[^/~\\u0000-\\u001f]*)*$"},
    {.name = "byte", .pattern = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"},
    // Of OpenAPI.
    {.name = "password"},
    {.name = "binary"},
    {.name = "float"},
    {.name = "double"},
    {.name = "int64"},
    {.name = "int32",
     .low = std::numeric_limits<int32_t>::min(),
     .high = std::numeric_limits<int32_t>::max()},
};

}  // namespace

std::span<const StringFormat> string_formats() { return kFormats; }

const StringFormat* find_string_format(std::string_view name) {
  for (const StringFormat& format : kFormats) {
    if (format.name == name) return &format;
  }
  return nullptr;
}

}  // namespace mach::grammar
