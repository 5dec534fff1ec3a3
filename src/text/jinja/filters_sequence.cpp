#include <algorithm>
#include <array>
#include <memory>

#include <fmt/format.h>

#include "base/utf8.h"
#include "text/jinja/args.h"
#include "text/jinja/cursor.h"
#include "text/jinja/failure.h"
#include "text/jinja/filters.h"
#include "text/jinja/lookup.h"
#include "text/jinja/objects.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/unicode.h"

namespace mach::jinja {
namespace {

using Args = const Arguments&;

Value length(Runtime&, const Value& subject, Args arguments) {
  const Parameters none("length", arguments, {});
  return Value::integer(length_of(subject));
}

Value to_list(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters none("list", arguments, {});
  return rt.list(collect(rt, subject));
}

Value first(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters none("first", arguments, {});
  Cursor cursor(subject);
  Value item;
  return cursor.next(rt, item) ? item : rt.undefined("No first item, sequence was empty.");
}

// The items of anything that Python can walk backwards.
std::vector<Value> reversible(Runtime& rt, const Value& subject) {
  if (subject.is(Kind::kObject) && subject.object().iteration() != Object::Iteration::kSized) {
    fail(fmt::format("'{}' object is not reversible", type_name(subject)));
  }
  return collect(rt, subject);
}

Value last(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters none("last", arguments, {});
  if (subject.is_sequence() && !subject.items().empty()) return subject.items().back();
  if (subject.is_string() && !subject.text().empty()) return get_item(rt, subject, Value::integer(-1));
  const auto items = reversible(rt, subject);
  return items.empty() ? rt.undefined("No last item, sequence was empty.") : items.back();
}

Value iterator_over(Runtime& rt, std::vector<Value> items) {
  const Value list = rt.list(std::move(items));
  const auto cursor = std::make_shared<Cursor>(list);
  return make_object(new IteratorObject(
      rt.budget, list.depth(), [cursor](Runtime& run, Value& out) { return cursor->next(run, out); }));
}

Value reverse(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters none("reverse", arguments, {});
  if (subject.is_string()) {
    const std::string_view text = subject.text();
    std::string out;
    out.reserve(text.size());
    rt.budget.step_bytes(8 * text.size());
    for (size_t at = text.size(); at > 0;) append_utf8(out, previous_code_point(text, at));
    return rt.string(std::move(out), subject.string().safe());
  }
  auto items = collect(rt, subject);
  std::ranges::reverse(items);
  const bool one_shot =
      subject.is(Kind::kObject) && subject.object().iteration() == Object::Iteration::kOneShot;
  return one_shot ? rt.list(std::move(items)) : iterator_over(rt, std::move(items));
}

Value join(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("join", arguments, {"d", "attribute"});
  const std::string separator = p.has(0) ? str(rt.budget, p[0]) : std::string();
  const bool by_attribute = p.has(1) && !p[1].is_none();
  const AttributePath path = by_attribute ? AttributePath(rt, p[1]) : AttributePath();
  TextBuilder out(rt.budget);
  Cursor cursor(subject);
  Value item;
  for (bool started = false; cursor.next(rt, item); started = true) {
    if (started) out.append(separator);
    append_str(out, by_attribute ? path.get(rt, item) : item);
  }
  return rt.string(out.take());
}

Value dict_items(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters none("items", arguments, {});
  if (subject.is_undefined()) return iterator_over(rt, {});
  if (!subject.is_dict()) fail("Can only get item pairs from a mapping.");
  const auto cursor =
      std::make_shared<Cursor>(make_object(new DictView(rt.budget, subject, DictView::Part::kItems)));
  return make_object(new IteratorObject(
      rt.budget, subject.depth() + 1, [cursor](Runtime& run, Value& out) { return cursor->next(run, out); }));
}

Value batch(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("batch", arguments, {"linecount", "fill_with"}, 1);
  const int64_t size = p.integer(0);
  const Value fill = p.get(1, Value());
  const auto cursor = std::make_shared<Cursor>(subject);
  // An item that did not fit the batch before.
  const auto waiting = std::make_shared<Value>(Value::missing());
  const uint32_t depth = std::max(subject.depth(), fill.depth());
  return make_object(
      new IteratorObject(rt.budget, depth, [cursor, waiting, size, fill](Runtime& run, Value& out) {
        ListBuilder row(run.budget);
        if (!waiting->is_missing()) row.push(std::exchange(*waiting, Value::missing()));
        Value item;
        while (cursor->next(run, item)) {
          if (static_cast<int64_t>(row.items().size()) == size) {
            *waiting = std::move(item);
            break;
          }
          row.push(std::move(item));
        }
        if (row.items().empty() && waiting->is_missing()) return false;
        while (waiting->is_missing() && !fill.is_none() && static_cast<int64_t>(row.items().size()) < size)
          row.push(fill);
        out = run.list(row.take());
        return true;
      }));
}

Value slice_into(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("slice", arguments, {"slices", "fill_with"}, 1);
  const int64_t slices = p.integer(0);
  const Value fill = p.get(1, Value());
  const Value all = rt.list(collect(rt, subject));
  if (slices == 0) fail("integer division or modulo by zero");
  const auto at = std::make_shared<int64_t>(0);
  const uint32_t depth = std::max(all.depth(), fill.depth());
  return make_object(new IteratorObject(rt.budget, depth, [all, at, slices, fill](Runtime& run, Value& out) {
    if (*at >= slices) return false;
    const auto size = static_cast<int64_t>(all.items().size());
    const int64_t each = size / slices;
    const int64_t longer = size % slices;
    const int64_t number = (*at)++;
    run.budget.step(static_cast<uint64_t>(each));
    const auto begin = all.items().begin() + number * each + std::min(number, longer);
    std::vector<Value> part(begin, begin + each + (number < longer ? 1 : 0));
    if (!fill.is_none() && number >= longer) part.push_back(fill);
    out = run.list(std::move(part));
    return true;
  }));
}

Value sum(Runtime& rt, const Value& subject, Args arguments) {
  const Parameters p("sum", arguments, {"attribute", "start"});
  const bool by_attribute = p.has(0) && !p[0].is_none();
  const AttributePath path = by_attribute ? AttributePath(rt, p[0]) : AttributePath();
  Value total = p.get(1, Value::integer(0));
  if (total.is_string()) fail("sum() can't sum strings [use ''.join(seq) instead]");
  Cursor cursor(subject);
  Value item;
  while (cursor.next(rt, item))
    total = binary(rt, BinaryOp::kAdd, total, by_attribute ? path.get(rt, item) : item);
  return total;
}

constexpr std::array kFilters = std::to_array<Filter>({
    {"length", length},
    {"count", length},
    {"list", to_list},
    {"join", join},
    {"items", dict_items},
    {"first", first},
    {"last", last},
    {"reverse", reverse},
    {"batch", batch},
    {"slice", slice_into},
    {"sum", sum},
});

}  // namespace

std::span<const Filter> sequence_filters() noexcept { return kFilters; }

}  // namespace mach::jinja
