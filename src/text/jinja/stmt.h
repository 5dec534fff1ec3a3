// Statements of a parsed template; they write to the Runtime's text. Immutable after parsing, like expressions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/expr.h"

namespace mach::jinja {

enum class Flow : uint8_t { kOn, kBreak, kContinue };

class Stmt {
 public:
  explicit Stmt(int line_in) : line(line_in) {}
  Stmt(const Stmt&) = delete;
  Stmt& operator=(const Stmt&) = delete;
  virtual ~Stmt() = default;
  virtual Flow exec(Runtime& rt) const = 0;
  const int line;
};
using StmtPtr = std::unique_ptr<Stmt>;
using Body = std::vector<StmtPtr>;

Flow exec_body(const Body& body, Runtime& rt);

// What a value can be assigned to: a name, `space.name`, or a tuple of these.
struct Target {
  enum class Type : uint8_t { kName, kMember, kTuple };
  Type type = Type::kName;
  int line = 0;
  Symbol symbol = 0;          // kName; kMember: the namespace
  Value member;               // kMember
  std::vector<Target> parts;  // kTuple
  void assign(Runtime& rt, Scope& scope, Value value) const;
};

struct Text final : Stmt {
  Text(int l, std::string t) : Stmt(l), text(std::move(t)) {}
  Flow exec(Runtime& rt) const override;
  std::string text;
};

struct Output final : Stmt {
  Output(int l, ExprPtr e) : Stmt(l), value(std::move(e)) {}
  Flow exec(Runtime& rt) const override;
  ExprPtr value;
};

// {% do expression %}
struct Do final : Stmt {
  Do(int l, ExprPtr e) : Stmt(l), value(std::move(e)) {}
  Flow exec(Runtime& rt) const override;
  ExprPtr value;
};

struct If final : Stmt {
  struct Branch {
    ExprPtr test;
    Body body;
  };
  explicit If(int l) : Stmt(l) {}
  Flow exec(Runtime& rt) const override;
  std::vector<Branch> branches;
  Body otherwise;
};

struct For final : Stmt {
  explicit For(int l) : Stmt(l) {}
  Flow exec(Runtime& rt) const override;
  // One run over `values`; `outer` is the scope around the loop. What the else part ends with is for the loop outside.
  Flow run(Runtime& rt, const Value& values, int64_t depth0, Scope& outer) const;
  Target target;
  ExprPtr items, filter;  // filter may be null
  Body body, otherwise;
  bool recursive = false;
  bool uses_loop = false;  // the body mentions the `loop` variable
  Symbol loop = 0;
};

struct LoopControl final : Stmt {
  LoopControl(int l, Flow f) : Stmt(l), flow(f) {}
  Flow exec(Runtime&) const override { return flow; }
  Flow flow;
};

// {% set target = value %}
struct Set final : Stmt {
  Set(int l, Target t, ExprPtr e) : Stmt(l), target(std::move(t)), value(std::move(e)) {}
  Flow exec(Runtime& rt) const override;
  Target target;
  ExprPtr value;
};

// {% set target | filters %}...{% endset %}
struct SetBlock final : Stmt {
  SetBlock(int l, Target t, std::vector<FilterCall> f, Body b)
      : Stmt(l), target(std::move(t)), filters(std::move(f)), body(std::move(b)) {}
  Flow exec(Runtime& rt) const override;
  Target target;
  std::vector<FilterCall> filters;
  Body body;
};

// {% filter filters %}...{% endfilter %}
struct FilterBlock final : Stmt {
  FilterBlock(int l, std::vector<FilterCall> f, Body b)
      : Stmt(l), filters(std::move(f)), body(std::move(b)) {}
  Flow exec(Runtime& rt) const override;
  std::vector<FilterCall> filters;
  Body body;
};

// {% with a=1 %}, and every tag whose only effect is a scope of its own ({% generation %}, {% autoescape false %}).
struct With final : Stmt {
  explicit With(int l) : Stmt(l) {}
  Flow exec(Runtime& rt) const override;
  std::vector<std::pair<Target, ExprPtr>> variables;
  Body body;
};

// {% block name %}: nothing extends a chat template, so it is rendered where it stands, but sees the template's own
// variables only, unless it is `scoped`.
struct Block final : Stmt {
  Block(int l, bool s, Body b) : Stmt(l), scoped(s), body(std::move(b)) {}
  Flow exec(Runtime& rt) const override;
  bool scoped;
  Body body;
};

// What a macro or the body of {% call %} is made of.
struct Signature {
  std::string name;                                    // empty for a call block
  std::vector<std::pair<Symbol, ExprPtr>> parameters;  // with defaults, null where there is none
  std::vector<std::string> names;                      // of the parameters
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;  // mentioned in the body
  Symbol caller = 0, varargs = 0, kwargs = 0;
  Body body;
  int line = 0;
};

struct Macro final : Stmt {
  Macro(int l, Symbol s, Signature sig) : Stmt(l), symbol(s), signature(std::move(sig)) {}
  Flow exec(Runtime& rt) const override;
  Symbol symbol;
  Signature signature;
};

struct CallBlock final : Stmt {
  CallBlock(int l, std::unique_ptr<Call> c, Signature sig)
      : Stmt(l), call(std::move(c)), caller(std::move(sig)) {}
  Flow exec(Runtime& rt) const override;
  std::unique_ptr<Call> call;
  Signature caller;
};

// Tags that are well-formed but cannot work here: include, import, extends.
struct Unsupported final : Stmt {
  Unsupported(int l, std::string m) : Stmt(l), message(std::move(m)) {}
  Flow exec(Runtime& rt) const override;
  std::string message;
};

}  // namespace mach::jinja
