// The state of one rendering: budget, variables, the text written so far, and where in the template it stands.
// Single-owner: lives on the stack of Template::render.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/budget.h"
#include "text/jinja/clock.h"
#include "text/jinja/object.h"
#include "text/jinja/text_builder.h"
#include "text/jinja/value.h"

namespace mach::jinja {

using Symbol = uint32_t;  // a variable name, numbered by the parser

// The variables of one block with a scope of its own: a loop's body, a macro's, the template itself. A macro keeps the
// scope it was defined in alive and sees what is set there later.
class Scope : public std::enable_shared_from_this<Scope> {
 public:
  explicit Scope(std::shared_ptr<Scope> parent) noexcept : parent_(std::move(parent)) {}
  const Value* find(Symbol symbol) const noexcept;
  void set(Symbol symbol, Value value);
  void clear() noexcept { variables_.clear(); }

 private:
  friend class Runtime;
  std::vector<std::pair<Symbol, Value>> variables_;
  std::shared_ptr<Scope> parent_;
  bool captured_ = false;
};

class NamespaceObject;

class Runtime {
 public:
  // `globals` has one entry per symbol, missing where neither the caller nor the engine defines it.
  // `symbols` holds the names and outlives the rendering.
  Runtime(const Limits& limits, const Clock& clock, std::vector<Value> globals,
          const std::vector<Value>& symbols);
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  ~Runtime();

  Budget budget;  // first: everything below is charged to it
  const Clock& clock;
  int line = 0;      // of the construct at work; for error messages
  TextBuilder* out;  // where statements write
  Scope* scope;      // innermost

  Value string(std::string text, bool safe = false) { return make_string(&budget, std::move(text), safe); }
  Value list(std::vector<Value> items) { return make_list(&budget, std::move(items)); }
  Value tuple(std::vector<Value> items) { return make_tuple(&budget, std::move(items)); }
  Value dict(DictNode::Items items) { return make_dict(&budget, std::move(items)); }
  Value undefined(std::string hint);
  Value undefined_member(const Value& owner, Value name);

  Value lookup(Symbol symbol);
  Scope& root() noexcept { return *root_; }
  std::string_view symbol_name(Symbol symbol) const { return symbols_[symbol].text(); }

  // Keeps `scope` beyond its block: for macros. What is captured dies with the rendering, because
  // a scope may hold the very macro that holds the scope.
  std::shared_ptr<Scope> capture(Scope& scope);
  void adopt(NamespaceObject& space);

  // Guards every construct that can call itself. Throws Failure{kTooLarge}.
  void enter_call();
  void leave_call() noexcept { --calls_; }
  void check_stack() const;

 private:
  std::vector<Value> globals_;
  const std::vector<Value>& symbols_;
  std::shared_ptr<Scope> root_;
  TextBuilder root_out_;
  std::vector<std::shared_ptr<Scope>> captured_;
  std::vector<Value> namespaces_;
  uint32_t calls_ = 0;
  const char* stack_base_;
};

// Makes `scope` the innermost one for a block.
class ScopeSwap {
 public:
  ScopeSwap(Runtime& rt, Scope& scope) noexcept : rt_(rt), outer_(rt.scope) { rt.scope = &scope; }
  ScopeSwap(const ScopeSwap&) = delete;
  ScopeSwap& operator=(const ScopeSwap&) = delete;
  ~ScopeSwap() { rt_.scope = outer_; }

 private:
  Runtime& rt_;
  Scope* outer_;
};

// Collects what a block writes.
class Capture {
 public:
  explicit Capture(Runtime& rt) noexcept : rt_(rt), outer_(rt.out), text_(rt.budget) { rt.out = &text_; }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() { rt_.out = outer_; }
  std::string take() noexcept { return text_.take(); }

 private:
  Runtime& rt_;
  TextBuilder* outer_;
  TextBuilder text_;
};

}  // namespace mach::jinja
