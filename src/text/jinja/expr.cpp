#include "text/jinja/expr.h"

#include <fmt/format.h>

#include "text/jinja/cursor.h"
#include "text/jinja/failure.h"
#include "text/jinja/lookup.h"
#include "text/jinja/print.h"

namespace mach::jinja {
namespace {

Value optional_value(Runtime& rt, const ExprPtr& expr) { return expr ? expr->eval(rt) : Value(); }

}  // namespace

Value Literal::eval(Runtime&) const { return value; }

Value Name::eval(Runtime& rt) const {
  rt.budget.step();
  return rt.lookup(symbol);
}

Value SequenceExpr::eval(Runtime& rt) const {
  std::vector<Value> values;
  values.reserve(items.size());
  for (const ExprPtr& item : items) values.push_back(item->eval(rt));
  rt.line = line;
  rt.budget.step();
  return tuple ? rt.tuple(std::move(values)) : rt.list(std::move(values));
}

Value DictExpr::eval(Runtime& rt) const {
  DictNode::Items values;
  values.reserve(items.size());
  for (const auto& [key, value] : items) {
    Value k = key->eval(rt);
    values.emplace_back(std::move(k), value->eval(rt));
  }
  rt.line = line;
  rt.budget.step();
  return rt.dict(std::move(values));
}

Value Conditional::eval(Runtime& rt) const {
  if (truthy(test->eval(rt))) return yes->eval(rt);
  if (no) return no->eval(rt);
  return rt.undefined(fmt::format(
      "the inline if-expression on line {} evaluated to false and no else section was defined.", line));
}

Value Logical::eval(Runtime& rt) const {
  Value value;
  for (const ExprPtr& operand : operands) {
    value = operand->eval(rt);
    if (truthy(value) == is_or) break;
  }
  return value;
}

Value Not::eval(Runtime& rt) const { return Value::boolean(!truthy(operand->eval(rt))); }

Value Comparison::eval(Runtime& rt) const {
  Value left = first->eval(rt);
  for (const auto& [op, operand] : rest) {
    Value right = operand->eval(rt);
    rt.line = line;
    rt.budget.step();
    if (!compare(rt, op, left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Arithmetic::eval(Runtime& rt) const {
  Value left = first->eval(rt);
  for (const auto& [op, operand] : rest) {
    const Value right = operand->eval(rt);
    rt.line = line;
    rt.budget.step();
    left = binary(rt, op, left, right);
  }
  return left;
}

Value Sign::eval(Runtime& rt) const {
  const Value value = operand->eval(rt);
  rt.line = line;
  return negative ? negate(rt, value) : plus(rt, value);
}

Value Concatenation::eval(Runtime& rt) const {
  TextBuilder out(rt.budget);
  for (const ExprPtr& operand : operands) append_str(out, operand->eval(rt));
  rt.line = line;
  rt.budget.step();
  return rt.string(out.take());
}

Value Attribute::eval(Runtime& rt) const {
  const Value value = owner->eval(rt);
  rt.line = line;
  rt.budget.step();
  return get_attribute(rt, value, name);
}

Value Item::eval(Runtime& rt) const {
  const Value value = owner->eval(rt);
  const Value index = key->eval(rt);
  rt.line = line;
  rt.budget.step();
  return get_item(rt, value, index);
}

Value SliceExpr::eval(Runtime& rt) const {
  const Value value = owner->eval(rt);
  const Value from = optional_value(rt, start);
  const Value to = optional_value(rt, stop);
  const Value by = optional_value(rt, step);
  rt.line = line;
  rt.budget.step();
  return slice(rt, value, from, to, by);
}

Arguments CallArguments::eval(Runtime& rt) const {
  Arguments result;
  if (empty()) return result;
  result.positional.reserve(positional.size());
  for (const ExprPtr& argument : positional) result.positional.push_back(argument->eval(rt));
  if (more_positional) {
    auto more = collect(rt, more_positional->eval(rt));
    rt.budget.allocate(more.size() * sizeof(Value));  // a splat is rare: counted to the end of the rendering
    result.positional.insert(result.positional.end(), std::make_move_iterator(more.begin()),
                             std::make_move_iterator(more.end()));
  }
  for (const auto& [name, argument] : named) {
    if (result.find(name) != nullptr) fail(fmt::format("keyword argument repeated: {}", name));
    result.named.emplace_back(name, argument->eval(rt));
  }
  if (!more_named) return result;
  const Value more = more_named->eval(rt);
  if (!more.is_dict()) fail(fmt::format("argument after ** must be a mapping, not {}", type_name(more)));
  for (const auto& [key, value] : more.dict().items()) {
    rt.budget.step(1 + result.named.size() / 16);
    if (!key.is_string()) fail("keywords must be strings");
    if (result.find(key.text()) != nullptr) {
      fail(fmt::format("got multiple values for keyword argument '{}'", key.text()));
    }
    rt.budget.allocate(sizeof(std::pair<std::string, Value>));
    result.named.emplace_back(key.text(), value);
  }
  return result;
}

Value Call::eval_with(Runtime& rt, const Value* caller) const {
  rt.check_stack();
  // A method called on the spot needs no object that binds it to its value.
  const auto* member = dynamic_cast<const Attribute*>(callee.get());
  const Value target = member != nullptr ? member->owner->eval(rt) : callee->eval(rt);
  const Method* method = member != nullptr ? find_method(target, member->name.text()) : nullptr;
  rt.line = line;
  rt.budget.step();
  const Value function = member == nullptr   ? target
                         : method != nullptr ? Value()
                                             : get_attribute(rt, target, member->name);
  Arguments values = arguments.eval(rt);
  if (caller != nullptr) values.named.emplace_back("caller", *caller);
  rt.line = line;
  Value result = method != nullptr ? call_method(rt, *method, target, values) : call(rt, function, values);
  rt.line = line;
  return result;
}

Value FilterCall::apply(Runtime& rt, const Value& subject) const {
  if (filter == nullptr) {
    rt.line = line;
    fail_no_filter(name);
  }
  const Arguments values = arguments.eval(rt);
  rt.line = line;
  rt.budget.step();
  return filter->apply(rt, subject, values);
}

Value TestExpr::eval(Runtime& rt) const {
  const Value value = subject->eval(rt);
  const Arguments values = arguments.eval(rt);
  rt.line = line;
  rt.budget.step();
  if (predicate == nullptr) fail_no_predicate(name);
  return Value::boolean(predicate->holds(rt, value, values));
}

}  // namespace mach::jinja
