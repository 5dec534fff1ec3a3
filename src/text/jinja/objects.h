// The objects that expressions meet: ranges, dict views, iterators, bound methods, namespaces, cyclers, joiners and the
// engine's own functions. Macros and the `loop` variable have files of their own.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "text/jinja/lookup.h"
#include "text/jinja/object.h"
#include "text/jinja/runtime.h"

namespace mach::jinja {

class RangeObject final : public Object {
 public:
  // step is not 0.
  RangeObject(Budget& budget, int64_t start, int64_t stop, int64_t step);
  std::string_view type_name() const override { return "range"; }
  void print(TextBuilder& out, int nesting) const override;
  Iteration iteration() const override { return Iteration::kSized; }
  size_t size() const override { return size_; }
  Value at(Runtime& rt, size_t index) const override;
  bool indexable() const override { return true; }
  bool equals(const Object& other) const override;
  bool contains(int64_t value) const noexcept;
  // The items at first, first + stride, ... before `last`; there are `count` of them.
  Value slice(Runtime& rt, int64_t first, int64_t last, int64_t stride, size_t count) const;

 private:
  int64_t start_, stop_, step_;
  size_t size_;
};

class DictView final : public Object {
 public:
  enum class Part : uint8_t { kKeys, kValues, kItems };
  DictView(Budget& budget, Value dict, Part part);
  std::string_view type_name() const override;
  void print(TextBuilder& out, int nesting) const override;
  Iteration iteration() const override { return Iteration::kSized; }
  size_t size() const override { return dict_.dict().items().size(); }
  Value at(Runtime& rt, size_t index) const override;
  const Value& dict() const noexcept { return dict_; }
  bool shows_keys() const noexcept { return part_ == Part::kKeys; }

 private:
  Value dict_;
  Part part_;
};

// What lazy filters return: items one by one, once. Python's generators are true even when nothing comes.
class IteratorObject final : public Object {
 public:
  using Next = std::function<bool(Runtime& rt, Value& out)>;
  // `depth` is that of the deepest value that `next` holds.
  IteratorObject(Budget& budget, uint32_t depth, Next next);
  std::string_view type_name() const override { return "generator"; }
  bool truthy() const override { return true; }
  Iteration iteration() const override { return Iteration::kOneShot; }
  bool next(Runtime& rt, Value& out) override;

 private:
  Next next_;
  bool done_ = false;
};

class BoundMethod final : public Object {
 public:
  BoundMethod(Budget& budget, Value self, const Method& method);
  std::string_view type_name() const override { return "builtin_function_or_method"; }
  void print(TextBuilder& out, int nesting) const override;
  bool callable() const override { return true; }
  Value call(Runtime& rt, const Arguments& arguments) override;

 private:
  Value self_;
  const Method& method_;
};

// The one value that templates can change: `{% set ns.name = value %}`.
class NamespaceObject final : public Object {
 public:
  explicit NamespaceObject(Budget& budget) : Object(&budget, sizeof(NamespaceObject), 1) {}
  std::string_view type_name() const override { return "Namespace"; }
  std::string described_type() const override { return "jinja2.utils.Namespace object"; }
  void print(TextBuilder& out, int nesting) const override;
  bool truthy() const override { return true; }
  Value attribute(Runtime& rt, std::string_view name) const override;
  void set(Runtime& rt, const Value& name, Value value);
  void clear() noexcept;

 private:
  DictNode::Items items_;
};

class CyclerObject final : public Object {
 public:
  CyclerObject(Budget& budget, Value items);  // a tuple, not empty
  std::string_view type_name() const override { return "Cycler"; }
  std::string described_type() const override { return "jinja2.utils.Cycler object"; }
  Value attribute(Runtime& rt, std::string_view name) const override;
  Value take_next();
  void reset() noexcept { at_ = 0; }

 private:
  Value items_;
  size_t at_ = 0;
};

class JoinerObject final : public Object {
 public:
  JoinerObject(Budget& budget, Value separator);
  std::string_view type_name() const override { return "Joiner"; }
  std::string described_type() const override { return "jinja2.utils.Joiner object"; }
  bool callable() const override { return true; }
  Value call(Runtime& rt, const Arguments& arguments) override;

 private:
  Value separator_;
  bool used_ = false;
};

// A function of the engine. `self` is a value that it may work on.
class FunctionObject final : public Object {
 public:
  using Body = Value (*)(Runtime& rt, const Value& self, const Arguments& arguments);
  FunctionObject(Budget* budget, std::string_view name, Body body, Value self = {});
  std::string_view type_name() const override { return "function"; }
  void print(TextBuilder& out, int nesting) const override;
  bool callable() const override { return true; }
  Value call(Runtime& rt, const Arguments& arguments) override { return body_(rt, self_, arguments); }

 private:
  std::string_view name_;
  Body body_;
  Value self_;
};

}  // namespace mach::jinja
