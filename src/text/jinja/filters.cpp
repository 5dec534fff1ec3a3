#include "text/jinja/filters.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "text/jinja/failure.h"

namespace mach::jinja {

const Filter* find_filter(std::string_view name) noexcept {
  for (const auto& table : {text_filters(), layout_filters(), number_filters(), sequence_filters(),
                            selection_filters(), sorting_filters()}) {
    const auto row = std::ranges::find(table, name, &Filter::name);
    if (row != table.end()) return &*row;
  }
  return nullptr;
}

void fail_no_filter(std::string_view name) { fail(fmt::format("No filter named '{}'.", name)); }
void fail_no_predicate(std::string_view name) { fail(fmt::format("No test named '{}'.", name)); }

}  // namespace mach::jinja
