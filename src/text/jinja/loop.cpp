#include "text/jinja/loop.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "text/jinja/failure.h"
#include "text/jinja/objects.h"
#include "text/jinja/operators.h"

namespace mach::jinja {

LoopObject::LoopObject(Runtime& rt, const For& statement, const Value& items, int64_t depth0,
                       std::shared_ptr<Scope> outer)
    : Object(&rt.budget, sizeof *this, 1 + items.depth()),
      statement_(statement),
      cursor_(items),
      depth0_(depth0),
      outer_(std::move(outer)) {
  if (const auto size = cursor_.size()) length_ = static_cast<int64_t>(*size);
}

bool LoopObject::peek(Runtime& rt) {
  if (!after_.is_missing()) return true;
  if (finished_) return false;
  if (!ahead_.empty()) {
    after_ = std::move(ahead_.back());
    ahead_.pop_back();
    return true;
  }
  Value item;
  if (!cursor_.next(rt, item)) return false;
  after_ = std::move(item);
  return true;
}

bool LoopObject::advance(Runtime& rt, Value& item) {
  if (!peek(rt)) return false;
  before_ = std::move(current_);
  current_ = std::exchange(after_, Value::missing());
  ++index0_;
  item = current_;
  return true;
}

void LoopObject::finish() noexcept {
  finished_ = true;
  cursor_ = Cursor();
  before_ = current_ = Value();
  after_ = last_changed_ = Value::missing();
  ahead_.clear();
  outer_.reset();
}

int64_t LoopObject::length(Runtime& rt) {
  if (length_) return *length_;
  ListBuilder rest(rt.budget);
  Value item;
  while (cursor_.next(rt, item)) rest.push(std::move(item));
  ahead_ = rest.take();
  rt.budget.allocate(ahead_.size() * sizeof(Value));
  std::ranges::reverse(ahead_);
  length_ = static_cast<int64_t>(ahead_.size()) + index0_ + 1 + (after_.is_missing() ? 0 : 1);
  return *length_;
}

void LoopObject::print(TextBuilder& out, int) const {
  out.append(
      fmt::format("<LoopContext {}/{}>", index0_ + 1, length_ ? fmt::format_int(*length_).str() : "?"));
}

Value LoopObject::cycle(const Arguments& arguments) const {
  if (!arguments.named.empty()) fail("cycle() takes no keyword arguments");
  if (arguments.positional.empty()) fail("no items for cycling given");
  return arguments.positional[static_cast<size_t>(index0_) % arguments.positional.size()];
}

Value LoopObject::changed(Runtime& rt, const Arguments& arguments) {
  if (!arguments.named.empty()) fail("changed() takes no keyword arguments");
  Value now = rt.tuple(arguments.positional);
  if (!last_changed_.is_missing() && equal(rt.budget, last_changed_, now)) return Value::boolean(false);
  if (!finished_) last_changed_ = std::move(now);
  return Value::boolean(true);
}

Value LoopObject::computed(Runtime& rt, std::string_view name) {
  if (name == "index") return Value::integer(index0_ + 1);
  if (name == "index0") return Value::integer(index0_);
  if (name == "first") return Value::boolean(index0_ == 0);
  if (name == "last") return Value::boolean(!peek(rt));
  if (name == "length") return Value::integer(length(rt));
  if (name == "revindex") return Value::integer(length(rt) - index0_);
  if (name == "revindex0") return Value::integer(length(rt) - index0_ - 1);
  if (name == "depth") return Value::integer(depth0_ + 1);
  if (name == "depth0") return Value::integer(depth0_);
  if (name == "previtem") return index0_ <= 0 ? rt.undefined("there is no previous item") : before_;
  if (name == "nextitem") return peek(rt) ? after_ : rt.undefined("there is no next item");
  return Value::missing();
}

Value LoopObject::attribute(Runtime& rt, std::string_view name) const {
  auto& self = const_cast<LoopObject&>(*this);  // looking ahead changes the loop, not what it shows
  if (name == "cycle" || name == "changed") {
    const bool cycles = name == "cycle";
    const auto body =
        cycles ? FunctionObject::Body([](Runtime&, const Value& loop, const Arguments& arguments) {
          return static_cast<LoopObject&>(loop.object()).cycle(arguments);
        })
               : FunctionObject::Body([](Runtime& run, const Value& loop, const Arguments& arguments) {
                   return static_cast<LoopObject&>(loop.object()).changed(run, arguments);
                 });
    return make_object(new FunctionObject(&rt.budget, cycles ? "cycle" : "changed", body, make_object(this)));
  }
  return self.computed(rt, name);
}

Value LoopObject::call(Runtime& rt, const Arguments& arguments) {
  if (!statement_.recursive) fail("The loop must have the 'recursive' marker to be called recursively.");
  if (arguments.positional.size() != 1 || !arguments.named.empty()) fail("loop() takes one argument");
  if (!outer_) fail("loop() was called after its loop had ended");
  const std::shared_ptr<Scope> outer = outer_;
  rt.enter_call();
  Capture text(rt);
  statement_.run(rt, arguments.positional.front(), depth0_ + 1, *outer);
  rt.leave_call();
  return rt.string(text.take());
}

}  // namespace mach::jinja
