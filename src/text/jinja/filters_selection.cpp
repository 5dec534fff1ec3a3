#include <array>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "text/jinja/args.h"
#include "text/jinja/cursor.h"
#include "text/jinja/failure.h"
#include "text/jinja/filters.h"
#include "text/jinja/lookup.h"
#include "text/jinja/objects.h"
#include "text/jinja/operators.h"

namespace mach::jinja {
namespace {

using Args = const Arguments&;

uint32_t deepest(const Value& subject, Args arguments) {
  uint32_t depth = subject.depth();
  for (const Value& value : arguments.positional) depth = std::max(depth, value.depth());
  for (const auto& [name, value] : arguments.named) depth = std::max(depth, value.depth());
  return depth;
}

std::string_view name_argument(const Value& value, std::string_view what) {
  if (!value.is_string()) fail(fmt::format("the name of a {} is a string, not {}", what, type_name(value)));
  return value.text();
}

// What select, reject, selectattr and rejectattr ask about each item.
class Choice {
 public:
  Choice(Runtime& rt, Args arguments, bool by_attribute) {
    size_t at = 0;
    if (by_attribute) {
      if (arguments.positional.empty()) fail("Missing parameter for attribute name");
      path_.emplace(rt, arguments.positional[at++]);
    }
    if (at >= arguments.positional.size()) return;
    const std::string_view name = name_argument(arguments.positional[at++], "test");
    predicate_ = find_predicate(name);
    if (predicate_ == nullptr) fail_no_predicate(name);
    rest_.positional.assign(arguments.positional.begin() + static_cast<ptrdiff_t>(at),
                            arguments.positional.end());
    rest_.named = arguments.named;
  }

  bool holds(Runtime& rt, const Value& item) const {
    const Value subject = path_ ? path_->get(rt, item) : item;
    return predicate_ != nullptr ? predicate_->holds(rt, subject, rest_) : truthy(subject);
  }

 private:
  std::optional<AttributePath> path_;
  const Predicate* predicate_ = nullptr;
  Arguments rest_;
};

// Jinja's generators look at nothing, not even their arguments, before the first item is asked for.
template <bool Keep, bool ByAttribute>
Value select(Runtime& rt, const Value& subject, Args arguments) {
  struct State {
    Value subject;
    Arguments arguments;
    std::optional<Cursor> cursor;
    std::optional<Choice> choice;
  };
  const auto state = std::make_shared<State>(State{subject, arguments, {}, {}});
  return make_object(
      new IteratorObject(rt.budget, deepest(subject, arguments), [state](Runtime& run, Value& out) {
        if (!state->cursor) {
          if (!truthy(state->subject)) return false;
          state->choice.emplace(run, state->arguments, ByAttribute);
          state->cursor.emplace(state->subject);
        }
        while (state->cursor->next(run, out)) {
          if (state->choice->holds(run, out) == Keep) return true;
        }
        return false;
      }));
}

// What map does to each item: an attribute, or a filter with arguments.
class Mapping {
 public:
  Mapping(Runtime& rt, Args arguments) {
    if (arguments.positional.empty() && arguments.find("attribute") != nullptr) {
      for (const auto& [name, value] : arguments.named) {
        if (name == "default") {
          default_ = value;
        } else if (name != "attribute") {
          fail(fmt::format("Unexpected keyword argument '{}'", name));
        }
      }
      path_.emplace(rt, *arguments.find("attribute"));
      return;
    }
    if (arguments.positional.empty()) fail("map requires a filter argument");
    const std::string_view name = name_argument(arguments.positional.front(), "filter");
    filter_ = find_filter(name);
    if (filter_ == nullptr) fail_no_filter(name);
    rest_.positional.assign(arguments.positional.begin() + 1, arguments.positional.end());
    rest_.named = arguments.named;
  }

  Value apply(Runtime& rt, const Value& item) const {
    return path_ ? path_->get(rt, item, default_) : filter_->apply(rt, item, rest_);
  }

 private:
  std::optional<AttributePath> path_;
  Value default_ = Value::missing();
  const Filter* filter_ = nullptr;
  Arguments rest_;
};

Value map(Runtime& rt, const Value& subject, Args arguments) {
  struct State {
    Value subject;
    Arguments arguments;
    std::optional<Cursor> cursor;
    std::optional<Mapping> mapping;
  };
  const auto state = std::make_shared<State>(State{subject, arguments, {}, {}});
  return make_object(
      new IteratorObject(rt.budget, deepest(subject, arguments), [state](Runtime& run, Value& out) {
        if (!state->cursor) {
          if (!truthy(state->subject)) return false;
          state->mapping.emplace(run, state->arguments);
          state->cursor.emplace(state->subject);
        }
        Value item;
        if (!state->cursor->next(run, item)) return false;
        out = state->mapping->apply(run, item);
        return true;
      }));
}

Value default_to(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("default", arguments, {"default_value", "boolean"});
  const bool replace = subject.is_undefined() || (p.boolean(1, false) && !truthy(subject));
  if (!replace) return subject;
  return p.has(0) ? p[0] : rt.string({});
}

Value attribute(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("attr", arguments, {"name"}, 1);
  if (subject.is_undefined()) fail_undefined(subject);
  const Value found = find_attribute(rt, subject, p.text(0));
  return found.is_missing() ? rt.undefined_member(subject, p[0]) : found;
}

constexpr std::array kFilters = std::to_array<Filter>({
    {"default", default_to},
    {"d", default_to},
    {"selectattr", select<true, true>},
    {"rejectattr", select<false, true>},
    {"select", select<true, false>},
    {"reject", select<false, false>},
    {"map", map},
    {"attr", attribute},
});

}  // namespace

std::span<const Filter> selection_filters() noexcept { return kFilters; }

}  // namespace mach::jinja
