#include "text/jinja/stmt.h"

#include <fmt/format.h>

#include "text/jinja/cursor.h"
#include "text/jinja/failure.h"
#include "text/jinja/loop.h"
#include "text/jinja/macro.h"
#include "text/jinja/objects.h"
#include "text/jinja/print.h"

namespace mach::jinja {
namespace {

// Runs `body` in a scope of its own inside `parent`.
Flow exec_scoped(const Body& body, Runtime& rt, Scope& parent) {
  const auto scope = std::make_shared<Scope>(parent.shared_from_this());
  const ScopeSwap inside(rt, *scope);
  return exec_body(body, rt);
}

Value filtered_text(Runtime& rt, const std::vector<FilterCall>& filters, std::string text) {
  Value value = rt.string(std::move(text));
  for (const FilterCall& filter : filters) value = filter.apply(rt, value);
  return value;
}

// The items of `for ... if test`, tested one by one as the loop asks for them.
Value filter_items(Runtime& rt, const For& loop, const Value& items, Scope& outer) {
  struct State {
    Cursor cursor;
    std::shared_ptr<Scope> outer;
  };
  const auto state = std::make_shared<State>(State{Cursor(items), outer.shared_from_this()});
  const auto next = [state, statement = &loop](Runtime& run, Value& out) {
    while (state->cursor.next(run, out)) {
      const auto scope = std::make_shared<Scope>(state->outer);
      const ScopeSwap inside(run, *scope);
      statement->target.assign(run, *scope, out);
      if (truthy(statement->filter->eval(run))) return true;
    }
    return false;
  };
  return make_object(new IteratorObject(rt.budget, items.depth(), next));
}

// Ends a loop's object on every way out.
class LoopEnd {
 public:
  explicit LoopEnd(LoopObject* loop) noexcept : loop_(loop) {}
  LoopEnd(const LoopEnd&) = delete;
  LoopEnd& operator=(const LoopEnd&) = delete;
  ~LoopEnd() {
    if (loop_ != nullptr) loop_->finish();
  }

 private:
  LoopObject* loop_;
};

}  // namespace

Flow exec_body(const Body& body, Runtime& rt) {
  for (const StmtPtr& statement : body) {
    rt.budget.step();
    const Flow flow = statement->exec(rt);
    if (flow != Flow::kOn) return flow;
  }
  return Flow::kOn;
}

void Target::assign(Runtime& rt, Scope& scope, Value value) const {
  rt.line = line;
  switch (type) {
    case Type::kName:
      scope.set(symbol, std::move(value));
      return;
    case Type::kMember: {
      const Value space = rt.lookup(symbol);
      auto* object = object_as<NamespaceObject>(space);
      if (object == nullptr) fail("cannot assign attribute on non-namespace object");
      object->set(rt, member, std::move(value));
      return;
    }
    case Type::kTuple:
      break;
  }
  Cursor cursor(value);
  std::vector<Value> items;
  Value item;
  while (items.size() <= parts.size() && cursor.next(rt, item)) items.push_back(std::move(item));
  if (items.size() > parts.size()) fail(fmt::format("too many values to unpack (expected {})", parts.size()));
  if (items.size() < parts.size()) {
    fail(fmt::format("not enough values to unpack (expected {}, got {})", parts.size(), items.size()));
  }
  for (size_t i = 0; i < parts.size(); ++i) parts[i].assign(rt, scope, std::move(items[i]));
}

Flow Text::exec(Runtime& rt) const {
  rt.line = line;
  rt.out->append(text);
  return Flow::kOn;
}

Flow Output::exec(Runtime& rt) const {
  rt.line = line;
  const Value result = value->eval(rt);
  append_str(*rt.out, result);
  return Flow::kOn;
}

Flow Do::exec(Runtime& rt) const {
  rt.line = line;
  value->eval(rt);
  return Flow::kOn;
}

Flow If::exec(Runtime& rt) const {
  for (const Branch& branch : branches) {
    if (truthy(branch.test->eval(rt))) return exec_body(branch.body, rt);
  }
  return exec_body(otherwise, rt);
}

Flow For::exec(Runtime& rt) const {
  const Value values = items->eval(rt);
  rt.line = line;
  return run(rt, values, 0, *rt.scope);
}

Flow For::run(Runtime& rt, const Value& values, int64_t depth0, Scope& outer) const {
  rt.check_stack();
  const Value chosen = filter ? filter_items(rt, *this, values, outer) : values;
  LoopObject* state = nullptr;
  Value state_owner;
  std::optional<Cursor> plain;
  if (uses_loop) {
    state = new LoopObject(rt, *this, chosen, depth0, recursive ? outer.shared_from_this() : nullptr);
    state_owner = make_object(state);
  } else {
    plain.emplace(chosen);
  }
  const LoopEnd end(state);

  auto scope = std::make_shared<Scope>(outer.shared_from_this());
  Value item;
  bool finished_one = false;  // Jinja's else also follows a loop whose every iteration was left early
  while (state != nullptr ? state->advance(rt, item) : plain->next(rt, item)) {
    // A scope that a macro has captured stays as it is; the next iteration gets a new one.
    if (scope.use_count() > 1) {
      scope = std::make_shared<Scope>(outer.shared_from_this());
    } else {
      scope->clear();
    }
    const ScopeSwap inside(rt, *scope);
    if (state != nullptr) scope->set(loop, state_owner);
    target.assign(rt, *scope, std::move(item));
    const Flow flow = exec_body(body, rt);
    if (flow == Flow::kBreak) break;
    finished_one = finished_one || flow == Flow::kOn;
  }
  if (!finished_one) {
    const auto empty = std::make_shared<Scope>(outer.shared_from_this());
    const ScopeSwap inside(rt, *empty);
    return exec_body(otherwise, rt);
  }
  return Flow::kOn;
}

Flow Set::exec(Runtime& rt) const {
  Value result = value->eval(rt);
  target.assign(rt, *rt.scope, std::move(result));
  return Flow::kOn;
}

Flow SetBlock::exec(Runtime& rt) const {
  Capture text(rt);
  const Flow flow = exec_scoped(body, rt, *rt.scope);
  if (flow != Flow::kOn) return flow;
  target.assign(rt, *rt.scope, filtered_text(rt, filters, text.take()));
  return Flow::kOn;
}

Flow FilterBlock::exec(Runtime& rt) const {
  Value result;
  {
    Capture text(rt);
    const Flow flow = exec_scoped(body, rt, *rt.scope);
    if (flow != Flow::kOn) return flow;
    result = filtered_text(rt, filters, text.take());
  }
  append_str(*rt.out, result);
  return Flow::kOn;
}

Flow With::exec(Runtime& rt) const {
  const auto scope = std::make_shared<Scope>(rt.scope->shared_from_this());
  // Values see the variables outside, not each other.
  for (const auto& [variable, value] : variables) variable.assign(rt, *scope, value->eval(rt));
  const ScopeSwap inside(rt, *scope);
  return exec_body(body, rt);
}

Flow Block::exec(Runtime& rt) const { return exec_scoped(body, rt, scoped ? *rt.scope : rt.root()); }

Flow Macro::exec(Runtime& rt) const {
  rt.line = line;
  rt.scope->set(symbol, make_object(new MacroObject(rt, signature, rt.capture(*rt.scope))));
  return Flow::kOn;
}

Flow CallBlock::exec(Runtime& rt) const {
  rt.line = line;
  const Value body = make_object(new MacroObject(rt, caller, rt.capture(*rt.scope)));
  append_str(*rt.out, call->eval_with(rt, &body));
  return Flow::kOn;
}

Flow Unsupported::exec(Runtime& rt) const {
  rt.line = line;
  fail(ErrorCode::kUnsupported, message);
}

}  // namespace mach::jinja
