// Expressions of a parsed template. Immutable after parsing: eval() may run from many threads at once, each with its own
// Runtime. Long chains (a + b + ..., x | f | g ...) are flat, and the parser bounds the depth of the rest.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/filters.h"
#include "text/jinja/operators.h"
#include "text/jinja/runtime.h"

namespace mach::jinja {

class Expr {
 public:
  explicit Expr(int line_in) : line(line_in) {}
  Expr(const Expr&) = delete;
  Expr& operator=(const Expr&) = delete;
  virtual ~Expr() = default;
  virtual Value eval(Runtime& rt) const = 0;

  const int line;
  uint32_t depth = 1;  // of the tree below, this node included
};
using ExprPtr = std::unique_ptr<Expr>;

struct Literal final : Expr {
  Literal(int l, Value v) : Expr(l), value(std::move(v)) {}
  Value eval(Runtime& rt) const override;
  Value value;
};

struct Name final : Expr {
  Name(int l, Symbol s) : Expr(l), symbol(s) {}
  Value eval(Runtime& rt) const override;
  Symbol symbol;
};

struct SequenceExpr final : Expr {
  SequenceExpr(int l, bool tuple_in, std::vector<ExprPtr> i)
      : Expr(l), tuple(tuple_in), items(std::move(i)) {}
  Value eval(Runtime& rt) const override;
  bool tuple;
  std::vector<ExprPtr> items;
};

struct DictExpr final : Expr {
  DictExpr(int l, std::vector<std::pair<ExprPtr, ExprPtr>> i) : Expr(l), items(std::move(i)) {}
  Value eval(Runtime& rt) const override;
  std::vector<std::pair<ExprPtr, ExprPtr>> items;
};

// yes if test else no; undefined without the else.
struct Conditional final : Expr {
  Conditional(int l, ExprPtr t, ExprPtr y, ExprPtr n)
      : Expr(l), test(std::move(t)), yes(std::move(y)), no(std::move(n)) {}
  Value eval(Runtime& rt) const override;
  ExprPtr test, yes, no;  // no may be null
};

// a and b and ..., a or b or ...: the operand that decides.
struct Logical final : Expr {
  Logical(int l, bool o, std::vector<ExprPtr> e) : Expr(l), is_or(o), operands(std::move(e)) {}
  Value eval(Runtime& rt) const override;
  bool is_or;
  std::vector<ExprPtr> operands;
};

struct Not final : Expr {
  Not(int l, ExprPtr e) : Expr(l), operand(std::move(e)) {}
  Value eval(Runtime& rt) const override;
  ExprPtr operand;
};

// a < b <= c: every neighbouring pair, each operand evaluated once.
struct Comparison final : Expr {
  Comparison(int l, ExprPtr f, std::vector<std::pair<CompareOp, ExprPtr>> r)
      : Expr(l), first(std::move(f)), rest(std::move(r)) {}
  Value eval(Runtime& rt) const override;
  ExprPtr first;
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
};

// first op rest[0] op rest[1] ..., from left to right.
struct Arithmetic final : Expr {
  Arithmetic(int l, ExprPtr f, std::vector<std::pair<BinaryOp, ExprPtr>> r)
      : Expr(l), first(std::move(f)), rest(std::move(r)) {}
  Value eval(Runtime& rt) const override;
  ExprPtr first;
  std::vector<std::pair<BinaryOp, ExprPtr>> rest;
};

struct Sign final : Expr {
  Sign(int l, bool n, ExprPtr e) : Expr(l), negative(n), operand(std::move(e)) {}
  Value eval(Runtime& rt) const override;
  bool negative;
  ExprPtr operand;
};

// a ~ b ~ c
struct Concatenation final : Expr {
  Concatenation(int l, std::vector<ExprPtr> e) : Expr(l), operands(std::move(e)) {}
  Value eval(Runtime& rt) const override;
  std::vector<ExprPtr> operands;
};

struct Attribute final : Expr {
  Attribute(int l, ExprPtr o, Value n) : Expr(l), owner(std::move(o)), name(std::move(n)) {}
  Value eval(Runtime& rt) const override;
  ExprPtr owner;
  Value name;
};

struct Item final : Expr {
  Item(int l, ExprPtr o, ExprPtr k) : Expr(l), owner(std::move(o)), key(std::move(k)) {}
  Value eval(Runtime& rt) const override;
  ExprPtr owner, key;
};

struct SliceExpr final : Expr {
  SliceExpr(int l, ExprPtr o, ExprPtr a, ExprPtr b, ExprPtr c)
      : Expr(l), owner(std::move(o)), start(std::move(a)), stop(std::move(b)), step(std::move(c)) {}
  Value eval(Runtime& rt) const override;
  ExprPtr owner, start, stop, step;  // the last three may be null
};

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr more_positional, more_named;  // *args, **kwargs; may be null
  Arguments eval(Runtime& rt) const;
  bool empty() const noexcept {
    return positional.empty() && named.empty() && !more_positional && !more_named;
  }
};

struct Call final : Expr {
  Call(int l, ExprPtr c, CallArguments a) : Expr(l), callee(std::move(c)), arguments(std::move(a)) {}
  Value eval(Runtime& rt) const override { return eval_with(rt, nullptr); }
  // With `caller` as one more named argument, for {% call %}.
  Value eval_with(Runtime& rt, const Value* caller) const;
  ExprPtr callee;
  CallArguments arguments;
};

// One `| name(arguments)`.
struct FilterCall {
  int line;
  std::string name;
  const Filter* filter;  // null for an unknown one: an error when it is reached
  CallArguments arguments;
  Value apply(Runtime& rt, const Value& subject) const;
};

struct FilterExpr final : Expr {
  FilterExpr(int l, ExprPtr s, FilterCall c) : Expr(l), subject(std::move(s)), call(std::move(c)) {}
  Value eval(Runtime& rt) const override { return call.apply(rt, subject->eval(rt)); }
  ExprPtr subject;
  FilterCall call;
};

struct TestExpr final : Expr {
  TestExpr(int l, ExprPtr s, std::string n, const Predicate* p, CallArguments a)
      : Expr(l), subject(std::move(s)), name(std::move(n)), predicate(p), arguments(std::move(a)) {}
  Value eval(Runtime& rt) const override;
  ExprPtr subject;
  std::string name;
  const Predicate* predicate;  // null for an unknown one
  CallArguments arguments;
};

}  // namespace mach::jinja
