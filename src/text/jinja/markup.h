// HTML escaping. Templates render without autoescape, so markup matters only where one asks for it: `escape`, `safe`,
// and what is joined to their results.
#pragma once

#include <string_view>

#include "text/jinja/text_builder.h"
#include "text/jinja/value.h"

namespace mach::jinja {

void append_escaped(TextBuilder& out, std::string_view text);
// str(value), escaped unless it is markup already.
void append_escaped_value(TextBuilder& out, const Value& value);
// The text of a string; escaped where it joins markup and is none.
void append_markup(TextBuilder& out, const Value& string, bool into_markup);
// Tags and comments removed, entities resolved, white space collapsed (markupsafe's striptags).
std::string strip_tags(Budget& budget, std::string_view text);

}  // namespace mach::jinja
