#include "text/jinja/objects.h"

#include <fmt/format.h>

#include "text/jinja/args.h"
#include "text/jinja/failure.h"
#include "text/jinja/print.h"

namespace mach::jinja {
namespace {

size_t range_size(int64_t start, int64_t stop, int64_t step) {
  if (step > 0 ? start >= stop : start <= stop) return 0;
  const uint64_t span = step > 0 ? static_cast<uint64_t>(stop) - static_cast<uint64_t>(start)
                                 : static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
  const uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : uint64_t{0} - static_cast<uint64_t>(step);
  return static_cast<size_t>((span - 1) / stride + 1);
}

// The state of a namespace takes part in the budget through what it holds; its own entries are counted here.
constexpr size_t kNamespaceEntry = 2 * sizeof(DictNode::Items::value_type);

}  // namespace

RangeObject::RangeObject(Budget& budget, int64_t start, int64_t stop, int64_t step)
    : Object(&budget, sizeof *this, 1),
      start_(start),
      stop_(stop),
      step_(step),
      size_(range_size(start, stop, step)) {}

void RangeObject::print(TextBuilder& out, int) const {
  out.append(step_ == 1 ? fmt::format("range({}, {})", start_, stop_)
                        : fmt::format("range({}, {}, {})", start_, stop_, step_));
}

Value RangeObject::at(Runtime&, size_t index) const {
  return Value::integer(start_ + static_cast<int64_t>(index) * step_);
}

bool RangeObject::equals(const Object& other) const {
  const auto* range = dynamic_cast<const RangeObject*>(&other);
  return range != nullptr && size_ == range->size_ &&
         (size_ == 0 || (start_ == range->start_ && (size_ == 1 || step_ == range->step_)));
}

bool RangeObject::contains(int64_t value) const noexcept {
  if (size_ == 0) return false;
  const int64_t last = start_ + static_cast<int64_t>(size_ - 1) * step_;
  const bool inside = step_ > 0 ? value >= start_ && value <= last : value <= start_ && value >= last;
  if (!inside) return false;
  const auto away = static_cast<uint64_t>(value) - static_cast<uint64_t>(start_);
  return step_ > 0 ? away % static_cast<uint64_t>(step_) == 0
                   : (0 - away) % (0 - static_cast<uint64_t>(step_)) == 0;
}

Value RangeObject::slice(Runtime& rt, int64_t first, int64_t last, int64_t stride, size_t count) const {
  // The items lie inside this range, so only its end, or a stride beyond it, can leave the integers.
  const auto place = [&](int64_t index) {
    int64_t value = 0;
    const bool over =
        __builtin_mul_overflow(index, step_, &value) || __builtin_add_overflow(start_, value, &value);
    return over ? ((index < 0) == (step_ < 0) ? INT64_MAX : INT64_MIN) : value;
  };
  int64_t step = 0;
  if (__builtin_mul_overflow(step_, stride, &step))
    step = (step_ < 0) == (stride < 0) ? INT64_MAX : INT64_MIN;
  const int64_t start = place(first);
  return make_object(new RangeObject(rt.budget, start, count == 0 ? start : place(last), step));
}

DictView::DictView(Budget& budget, Value dict, Part part)
    : Object(&budget, sizeof *this, 1 + dict.depth()), dict_(std::move(dict)), part_(part) {}

std::string_view DictView::type_name() const {
  switch (part_) {
    case Part::kKeys:
      return "dict_keys";
    case Part::kValues:
      return "dict_values";
    case Part::kItems:
      return "dict_items";
  }
  return {};
}

void DictView::print(TextBuilder& out, int nesting) const {
  out.append(type_name());
  out.append("([");
  bool first = true;
  for (const auto& [key, value] : dict_.dict().items()) {
    if (!first) out.append(", ");
    first = false;
    if (part_ == Part::kItems) out.append("(");
    if (part_ != Part::kValues) append_repr(out, key, nesting + 1);
    if (part_ == Part::kItems) out.append(", ");
    if (part_ != Part::kKeys) append_repr(out, value, nesting + 1);
    if (part_ == Part::kItems) out.append(")");
  }
  out.append("])");
}

Value DictView::at(Runtime& rt, size_t index) const {
  const auto& [key, value] = dict_.dict().items()[index];
  switch (part_) {
    case Part::kKeys:
      return key;
    case Part::kValues:
      return value;
    case Part::kItems:
      return rt.tuple({key, value});
  }
  return {};
}

IteratorObject::IteratorObject(Budget& budget, uint32_t depth, Next next)
    : Object(&budget, sizeof *this + 64, 1 + depth), next_(std::move(next)) {}

bool IteratorObject::next(Runtime& rt, Value& out) {
  if (done_) return false;
  rt.check_stack();
  done_ = !next_(rt, out);
  return !done_;
}

BoundMethod::BoundMethod(Budget& budget, Value self, const Method& method)
    : Object(&budget, sizeof *this, 1 + self.depth()), self_(std::move(self)), method_(method) {}

void BoundMethod::print(TextBuilder& out, int) const {
  out.append(fmt::format("<built-in method {} of {} object>", method_.name, jinja::type_name(self_)));
}

Value BoundMethod::call(Runtime& rt, const Arguments& arguments) {
  return call_method(rt, method_, self_, arguments);
}

void NamespaceObject::print(TextBuilder& out, int nesting) const {
  out.append("<Namespace {");
  for (size_t i = 0; i < items_.size(); ++i) {
    if (i > 0) out.append(", ");
    append_repr(out, items_[i].first, nesting + 1);
    out.append(": ");
    append_repr(out, items_[i].second, nesting + 1);
  }
  out.append("}>");
}

Value NamespaceObject::attribute(Runtime& rt, std::string_view name) const {
  rt.budget.step(1 + items_.size() / 8);
  for (const auto& [key, value] : items_) {
    if (key.is_string() && key.text() == name) return value;
  }
  return Value::missing();
}

void NamespaceObject::set(Runtime& rt, const Value& name, Value value) {
  rt.budget.step(1 + items_.size() / 8);
  for (auto& [key, old] : items_) {
    if (compare_keys(key, name) != 0) continue;
    old = std::move(value);
    return;
  }
  rt.budget.allocate(kNamespaceEntry);  // until the end of the rendering, which is how long namespaces live
  items_.emplace_back(name, std::move(value));
}

void NamespaceObject::clear() noexcept {
  DictNode::Items items;
  items.swap(items_);  // its values die here, when this namespace is already empty
}

CyclerObject::CyclerObject(Budget& budget, Value items)
    : Object(&budget, sizeof *this, 1 + items.depth()), items_(std::move(items)) {}

Value CyclerObject::attribute(Runtime& rt, std::string_view name) const {
  const auto bind = [&](std::string_view method, FunctionObject::Body body) {
    return make_object(new FunctionObject(&rt.budget, method, body, make_object(this)));
  };
  if (name == "current") return items_.items()[at_];
  if (name == "next") {
    return bind("next", [](Runtime&, const Value& self, const Arguments& arguments) {
      const Parameters none("next", arguments, {});
      return static_cast<CyclerObject&>(self.object()).take_next();
    });
  }
  if (name == "reset") {
    return bind("reset", [](Runtime&, const Value& self, const Arguments& arguments) {
      const Parameters none("reset", arguments, {});
      static_cast<CyclerObject&>(self.object()).reset();
      return Value();
    });
  }
  if (name == "items") return items_;
  if (name == "pos") return Value::integer(static_cast<int64_t>(at_));
  return Value::missing();
}

Value CyclerObject::take_next() {
  Value item = items_.items()[at_];
  at_ = (at_ + 1) % items_.items().size();
  return item;
}

JoinerObject::JoinerObject(Budget& budget, Value separator)
    : Object(&budget, sizeof *this, 1 + separator.depth()), separator_(std::move(separator)) {}

Value JoinerObject::call(Runtime& rt, const Arguments& arguments) {
  const Parameters none("joiner", arguments, {});
  if (used_) return separator_;
  used_ = true;
  return rt.string({});
}

FunctionObject::FunctionObject(Budget* budget, std::string_view name, Body body, Value self)
    : Object(budget, sizeof *this, 1 + self.depth()), name_(name), body_(body), self_(std::move(self)) {}

void FunctionObject::print(TextBuilder& out, int) const { out.append(fmt::format("<function {}>", name_)); }

}  // namespace mach::jinja
