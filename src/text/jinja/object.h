// Values with behaviour: ranges, dict views, macros, the `loop` variable, iterators, bound methods. One class each
// (objects.h, macro.h, loop.h); the defaults here are those of a Python object that can do nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace mach::jinja {

class Runtime;
class TextBuilder;

// The arguments of a call as the template wrote them.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
  const Value* find(std::string_view name) const noexcept;
};

class Object : public Node {
 public:
  enum class Iteration : uint8_t {
    kNone,     // not iterable
    kSized,    // size() and at()
    kOneShot,  // next(), until it is empty
  };

  virtual std::string_view type_name() const = 0;  // Python's name of the type
  virtual std::string described_type() const {
    return std::string(type_name()) + " object";
  }                                                         // as Jinja's errors name it
  virtual void print(TextBuilder& out, int nesting) const;  // str() and repr()
  virtual bool truthy() const { return iteration() != Iteration::kSized || size() > 0; }

  virtual Iteration iteration() const { return Iteration::kNone; }
  virtual size_t size() const { return 0; }           // kSized
  virtual Value at(Runtime& rt, size_t index) const;  // kSized; index < size()
  virtual bool next(Runtime& rt, Value& out);         // kOneShot; false at the end
  virtual bool indexable() const { return false; }    // object[0] works (kSized)

  // `object.name`; missing when there is no such attribute.
  virtual Value attribute(Runtime& rt, std::string_view name) const;
  virtual bool callable() const { return false; }
  virtual Value call(Runtime& rt, const Arguments& arguments);
  virtual bool equals(const Object& other) const { return this == &other; }

 protected:
  using Node::Node;
};

Value make_object(const Object* object);

template <class T>
T* object_as(const Value& value) noexcept {
  return value.is(Kind::kObject) ? dynamic_cast<T*>(&value.object()) : nullptr;
}

}  // namespace mach::jinja
