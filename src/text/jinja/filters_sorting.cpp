#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <set>

#include <fmt/format.h>

#include "text/jinja/args.h"
#include "text/jinja/cursor.h"
#include "text/jinja/failure.h"
#include "text/jinja/filters.h"
#include "text/jinja/lookup.h"
#include "text/jinja/objects.h"
#include "text/jinja/operators.h"
#include "text/jinja/unicode.h"

namespace mach::jinja {
namespace {

using Args = const Arguments&;

// The key that items are compared by: text in lower case unless the case counts.
Value sort_key(Runtime& rt, Value value, bool case_sensitive) {
  if (case_sensitive || !value.is_string()) return value;
  rt.budget.step_bytes(4 * value.text().size());
  return rt.string(to_lower(value.text()));
}

using Key = std::vector<Value>;
constexpr size_t kKeyBytes = sizeof(Key) + sizeof(Value) + 4 * sizeof(size_t);  // with its place in the order

// As Python compares lists: only the first two that differ need an order.
bool less_lists(Budget& budget, const Key& a, const Key& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (!equal(budget, a[i], b[i])) return less(budget, a[i], b[i]);
  }
  return false;
}

bool less_single(Budget& budget, const Key& a, const Key& b) { return less(budget, a[0], b[0]); }

// Stable, also when reversed.
std::vector<size_t> sorted_order(Runtime& rt, const std::vector<Key>& keys, bool reverse,
                                 bool (*less_keys)(Budget&, const Key&, const Key&)) {
  std::vector<size_t> order(keys.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return reverse ? less_keys(rt.budget, keys[b], keys[a]) : less_keys(rt.budget, keys[a], keys[b]);
  });
  return order;
}

Value sort(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const auto items = collect(rt, subject);
  const auto paths = AttributePath::parse_list(rt, p.get(2, Value()));
  const bool case_sensitive = p.boolean(1, false);
  const Reservation temporary(rt.budget, items.size() * (kKeyBytes + paths.size() * sizeof(Value)));
  std::vector<Key> keys;
  keys.reserve(items.size());
  for (const Value& item : items) {
    Key& key = keys.emplace_back();
    for (const auto& path : paths) key.push_back(sort_key(rt, path.get(rt, item), case_sensitive));
  }
  ListBuilder out(rt.budget);
  for (const size_t i : sorted_order(rt, keys, p.boolean(0, false), less_lists)) out.push(items[i]);
  return rt.list(out.take());
}

Value dict_sort(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  if (subject.is_undefined()) fail_undefined(subject);
  if (!subject.is_dict()) fail(fmt::format("'{}' object has no attribute 'items'", type_name(subject)));
  const std::string_view by = p.text(1, "key");
  if (by != "key" && by != "value") fail("You can only sort by either \"key\" or \"value\"");
  const auto& items = subject.dict().items();
  const Reservation temporary(rt.budget, items.size() * kKeyBytes);
  std::vector<Key> keys;
  keys.reserve(items.size());
  for (const auto& [key, value] : items)
    keys.push_back({sort_key(rt, by == "key" ? key : value, p.boolean(0, false))});
  ListBuilder out(rt.budget);
  for (const size_t i : sorted_order(rt, keys, p.boolean(2, false), less_single)) {
    out.push(rt.tuple({items[i].first, items[i].second}));
  }
  return rt.list(out.take());
}

Value group_by(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const auto items = collect(rt, subject);
  const AttributePath path(rt, p[0]);
  const Value otherwise = p.get(1, Value());
  const Reservation temporary(rt.budget, items.size() * kKeyBytes);
  std::vector<Key> keys;
  keys.reserve(items.size());
  for (const Value& item : items)
    keys.push_back({sort_key(rt, path.get(rt, item, otherwise), p.boolean(2, false))});
  ListBuilder groups(rt.budget);
  const auto order = sorted_order(rt, keys, false, less_single);
  for (size_t i = 0; i < order.size();) {
    const size_t first = order[i];
    std::vector<Value> members;
    for (; i < order.size() && equal(rt.budget, keys[order[i]][0], keys[first][0]); ++i)
      members.push_back(items[order[i]]);
    if (members.empty()) members.push_back(items[order[i++]]);  // NaN is a group of its own
    std::vector<Value> group;
    group.push_back(path.get(rt, items[first], otherwise));
    group.push_back(rt.list(std::move(members)));
    groups.push(make_tuple(&rt.budget, std::move(group), true));
  }
  return rt.list(groups.take());
}

template <bool Max>
Value extreme(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p(Max ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  const AttributePath path(rt, p.get(1, Value()));
  Cursor cursor(subject);
  Value item;
  if (!cursor.next(rt, item)) return rt.undefined("No aggregated item, sequence was empty.");
  const auto key_of = [&](const Value& v) { return sort_key(rt, path.get(rt, v), p.boolean(0, false)); };
  Value best = item;
  Value best_key = key_of(item);
  while (cursor.next(rt, item)) {
    Value key = key_of(item);
    if (!(Max ? less(rt.budget, best_key, key) : less(rt.budget, key, best_key))) continue;
    best = item;
    best_key = std::move(key);
  }
  return best;
}

// A node of the set below; it stays counted to the end of the rendering.
constexpr size_t kSeenBytes = 64;

Value unique(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("unique", arguments, {"case_sensitive", "attribute"});
  struct KeyLess {
    bool operator()(const Value& a, const Value& b) const noexcept { return compare_keys(a, b) < 0; }
  };
  struct State {
    Value subject;
    AttributePath path;
    bool case_sensitive;
    std::optional<Cursor> cursor;
    std::set<Value, KeyLess> seen;
  };
  const auto state = std::make_shared<State>(
      State{subject, AttributePath(rt, p.get(1, Value())), p.boolean(0, false), {}, {}});
  return make_object(new IteratorObject(rt.budget, subject.depth() + 1, [state](Runtime& run, Value& out) {
    if (!state->cursor) state->cursor.emplace(state->subject);
    while (state->cursor->next(run, out)) {
      Value key = sort_key(run, state->path.get(run, out), state->case_sensitive);
      if (!is_hashable(key)) fail(fmt::format("unhashable type: '{}'", type_name(key)));
      if (key.is_string()) run.budget.step_bytes(16 * key.text().size());
      if (!state->seen.insert(std::move(key)).second) continue;
      run.budget.step(16);
      run.budget.allocate(kSeenBytes);
      return true;
    }
    return false;
  }));
}

constexpr std::array kFilters = std::to_array<Filter>({
    {"sort", sort},
    {"dictsort", dict_sort},
    {"groupby", group_by},
    {"min", extreme<false>},
    {"max", extreme<true>},
    {"unique", unique},
});

}  // namespace

std::span<const Filter> sorting_filters() noexcept { return kFilters; }

}  // namespace mach::jinja
