#include "text/jinja/globals.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "text/jinja/args.h"
#include "text/jinja/clock.h"
#include "text/jinja/cursor.h"
#include "text/jinja/failure.h"
#include "text/jinja/objects.h"
#include "text/jinja/print.h"

namespace mach::jinja {
namespace {

using Args = const Arguments&;

Value range(Runtime& rt, const Value&, Args arguments) {
  const Parameters p("range", arguments, {"start", "stop", "step"}, 1);
  const int64_t start = p.has(1) ? p.integer(0) : 0;
  const int64_t stop = p.has(1) ? p.integer(1) : p.integer(0);
  const int64_t step = p.has(2) ? p.integer(2) : 1;
  if (step == 0) fail("range() arg 3 must not be zero");
  const Value made = make_object(new RangeObject(rt.budget, start, stop, step));
  if (made.object().size() > static_cast<size_t>(Limits::kRange)) {
    fail(ErrorCode::kTooLarge,
         fmt::format("Range too big. The sandbox blocks ranges larger than {}.", Limits::kRange));
  }
  return made;
}

// The entries that dict() and namespace() are called with: at most one mapping or iterable of pairs, then names.
DictNode::Items entries(Runtime& rt, std::string_view function, Args arguments) {
  if (arguments.positional.size() > 1) {
    fail(fmt::format("{} expected at most 1 argument, got {}", function, arguments.positional.size()));
  }
  DictNode::Items items;
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional.front();
    if (source.is_dict()) {
      items = source.dict().items();
    } else {
      Cursor cursor(source);
      Value pair;
      while (cursor.next(rt, pair)) {
        auto parts = collect(rt, pair);
        if (parts.size() != 2) {
          fail(fmt::format("dictionary update sequence element has length {}; 2 is required", parts.size()));
        }
        rt.budget.allocate(sizeof(DictNode::Items::value_type));
        items.emplace_back(std::move(parts[0]), std::move(parts[1]));
      }
    }
  }
  for (const auto& [name, value] : arguments.named) items.emplace_back(rt.string(name), value);
  return items;
}

Value dict(Runtime& rt, const Value&, Args arguments) { return rt.dict(entries(rt, "dict", arguments)); }

Value name_space(Runtime& rt, const Value&, Args arguments) {
  auto* space = new NamespaceObject(rt.budget);
  const Value made = make_object(space);
  rt.adopt(*space);
  const Value initial = rt.dict(entries(rt, "namespace", arguments));
  for (const auto& [name, value] : initial.dict().items()) space->set(rt, name, value);
  return made;
}

Value cycler(Runtime& rt, const Value&, Args arguments) {
  if (!arguments.named.empty()) fail("cycler() takes no keyword arguments");
  if (arguments.positional.empty()) fail("at least one item has to be provided");
  return make_object(new CyclerObject(rt.budget, rt.tuple(arguments.positional)));
}

Value joiner(Runtime& rt, const Value&, Args arguments) {
  const Parameters p("joiner", arguments, {"sep"});
  return make_object(new JoinerObject(rt.budget, p.has(0) ? p[0] : rt.string(", ")));
}

Value raise_exception(Runtime& rt, const Value&, Args arguments) {
  const Parameters p("raise_exception", arguments, {"message"}, 1);
  fail(str(rt.budget, p[0]));
}

Value strftime_now(Runtime& rt, const Value&, Args arguments) {
  const Parameters p("strftime_now", arguments, {"format"}, 1);
  rt.budget.step(p.text(0).size());
  return rt.string(format_time(rt.clock(), p.text(0)));
}

struct Global {
  std::string_view name;
  FunctionObject::Body body;
};
constexpr std::array kGlobals = std::to_array<Global>({
    {"range", range},
    {"dict", dict},
    {"namespace", name_space},
    {"cycler", cycler},
    {"joiner", joiner},
    {"raise_exception", raise_exception},
    {"strftime_now", strftime_now},
});

}  // namespace

Value find_global(std::string_view name) {
  const auto row = std::ranges::find(kGlobals, name, &Global::name);
  if (row == kGlobals.end()) return Value::missing();
  return make_object(new FunctionObject(nullptr, row->name, row->body));
}

}  // namespace mach::jinja
