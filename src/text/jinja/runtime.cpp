#include "text/jinja/runtime.h"

#include <fmt/format.h>

#include "text/jinja/failure.h"
#include "text/jinja/objects.h"

namespace mach::jinja {

const Value* Scope::find(Symbol symbol) const noexcept {
  for (const auto& [name, value] : variables_) {
    if (name == symbol) return &value;
  }
  return nullptr;
}

void Scope::set(Symbol symbol, Value value) {
  for (auto& [name, old] : variables_) {
    if (name != symbol) continue;
    old = std::move(value);
    return;
  }
  variables_.emplace_back(symbol, std::move(value));
}

Runtime::Runtime(const Limits& limits, const Clock& clock_in, std::vector<Value> globals,
                 const std::vector<Value>& symbols)
    : budget(limits),
      clock(clock_in),
      out(nullptr),
      scope(nullptr),
      globals_(std::move(globals)),
      symbols_(symbols),
      root_(std::make_shared<Scope>(nullptr)),
      root_out_(budget),
      stack_base_(static_cast<const char*>(__builtin_frame_address(0))) {
  out = &root_out_;
  scope = root_.get();
}

Runtime::~Runtime() {
  // One at a time and with all of them still held, so that no chain of owners is destroyed recursively.
  for (const Value& space : namespaces_) static_cast<NamespaceObject&>(space.object()).clear();
  for (const auto& captured : captured_) captured->clear();
  root_->clear();
}

Value Runtime::undefined(std::string hint) {
  return Value::node(Kind::kUndefined, new UndefinedNode(&budget, std::move(hint)));
}

Value Runtime::undefined_member(const Value& owner, Value name) {
  return Value::node(Kind::kUndefined, new UndefinedNode(&budget, described_type(owner), std::move(name)));
}

Value Runtime::lookup(Symbol symbol) {
  for (const Scope* s = scope; s != nullptr; s = s->parent_.get()) {
    if (const Value* value = s->find(symbol)) return *value;
  }
  if (!globals_[symbol].is_missing()) return globals_[symbol];
  return Value::node(Kind::kUndefined, new UndefinedNode(&budget, std::string(), symbols_[symbol]));
}

std::shared_ptr<Scope> Runtime::capture(Scope& captured) {
  auto owner = captured.shared_from_this();
  for (Scope* s = &captured; s != nullptr && !s->captured_; s = s->parent_.get()) {
    budget.allocate(sizeof(Scope) + 64);  // stays until the end
    s->captured_ = true;
    captured_.push_back(s->shared_from_this());
  }
  return owner;
}

void Runtime::adopt(NamespaceObject& space) { namespaces_.push_back(make_object(&space)); }

void Runtime::enter_call() {
  if (calls_ >= budget.limits().call_depth) {
    fail(ErrorCode::kTooLarge,
         fmt::format("macros call each other deeper than {} levels", budget.limits().call_depth));
  }
  check_stack();
  ++calls_;
}

void Runtime::check_stack() const {
  const auto* here = static_cast<const char*>(__builtin_frame_address(0));
  if (static_cast<size_t>(stack_base_ - here) > budget.limits().stack_bytes) {
    fail(ErrorCode::kTooLarge, "the template recurses too deeply");
  }
}

}  // namespace mach::jinja
