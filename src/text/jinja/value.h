// A value of the template language: what Python calls an object, as far as templates can see one. Scalars are held
// directly; strings, lists, tuples, dicts and everything with behaviour (object.h) are reference-counted nodes.
// Nodes are immutable once built, so values may be copied and read from any thread; the few objects with state
// (namespace, cycler, iterators) belong to one rendering.
// Containers nest at most Limits::kNesting deep: that bounds every recursion over a value, its destruction included.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/budget.h"

namespace mach::jinja {

enum class Kind : uint8_t {
  kMissing,  // "no value": an absent argument or variable; never visible to a template
  kNone,
  kBool,
  kInt,
  kFloat,
  kUndefined,  // from here on a node
  kBigInt,
  kString,
  kList,
  kTuple,
  kDict,
  kObject,
};

class Node {
 public:
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  virtual ~Node() {
    if (budget_ != nullptr) budget_->release(charged_);
  }
  uint32_t depth() const noexcept { return depth_; }
  void retain() const noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() const noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 protected:
  // `bytes` are charged to the budget for the life of the node; a null budget stands for values made outside a rendering.
  // Throws Failure{kTooLarge} when the memory is not left, or when `depth` (1 + that of the deepest content) is too much.
  Node(Budget* budget, size_t bytes, uint32_t depth);

 private:
  mutable std::atomic<uint32_t> references_{0};
  uint32_t depth_;
  Budget* budget_;
  size_t charged_;
};

class Object;
class StringNode;
class UndefinedNode;
class DictNode;

class Value {
 public:
  Value() noexcept : kind_(Kind::kNone), payload_{} {}
  explicit Value(Kind kind) noexcept : kind_(kind), payload_{} {}  // kMissing or kNone
  Value(const Value& other) noexcept : kind_(other.kind_), payload_(other.payload_) {
    if (is_node()) payload_.node->retain();
  }
  Value(Value&& other) noexcept : kind_(std::exchange(other.kind_, Kind::kNone)), payload_(other.payload_) {}
  Value& operator=(const Value& other) noexcept {
    Value copy(other);
    swap(copy);
    return *this;
  }
  Value& operator=(Value&& other) noexcept {
    Value moved(std::move(other));
    swap(moved);
    return *this;
  }
  ~Value() {
    if (is_node()) payload_.node->release();
  }
  void swap(Value& other) noexcept {
    std::swap(kind_, other.kind_);
    std::swap(payload_, other.payload_);
  }

  static Value missing() noexcept { return Value(Kind::kMissing); }
  static Value boolean(bool value) noexcept {
    Value v(Kind::kBool);
    v.payload_.integer = value ? 1 : 0;
    return v;
  }
  static Value integer(int64_t value) noexcept {
    Value v(Kind::kInt);
    v.payload_.integer = value;
    return v;
  }
  static Value number(double value) noexcept {
    Value v(Kind::kFloat);
    v.payload_.number = value;
    return v;
  }
  // Takes over a fresh node.
  static Value node(Kind kind, const Node* node) noexcept {
    Value v(kind);
    v.payload_.node = node;
    node->retain();
    return v;
  }

  Kind kind() const noexcept { return kind_; }
  bool is(Kind kind) const noexcept { return kind_ == kind; }
  bool is_missing() const noexcept { return kind_ == Kind::kMissing; }
  bool is_undefined() const noexcept { return kind_ == Kind::kUndefined; }
  bool is_none() const noexcept { return kind_ == Kind::kNone; }
  bool is_string() const noexcept { return kind_ == Kind::kString; }
  bool is_dict() const noexcept { return kind_ == Kind::kDict; }
  bool is_sequence() const noexcept { return kind_ == Kind::kList || kind_ == Kind::kTuple; }
  bool is_integral() const noexcept {
    return kind_ == Kind::kInt || kind_ == Kind::kBool;
  }  // an int to arithmetic
  bool is_number() const noexcept { return is_integral() || kind_ == Kind::kFloat; }
  uint32_t depth() const noexcept { return is_node() ? payload_.node->depth() : 0; }

  // The kind must fit.
  bool as_bool() const noexcept { return payload_.integer != 0; }
  int64_t as_int() const noexcept { return payload_.integer; }
  double as_float() const noexcept {
    return kind_ == Kind::kFloat ? payload_.number : static_cast<double>(payload_.integer);
  }
  std::string_view text() const noexcept;            // kString, kBigInt (its digits)
  const StringNode& string() const noexcept;         // kString
  const std::vector<Value>& items() const noexcept;  // kList, kTuple
  const DictNode& dict() const noexcept;             // kDict
  const UndefinedNode& undefined() const noexcept;   // kUndefined
  Object& object() const noexcept;                   // kObject
  const Node* identity() const noexcept { return is_node() ? payload_.node : nullptr; }

 private:
  bool is_node() const noexcept { return kind_ >= Kind::kUndefined; }

  Kind kind_;
  union {
    int64_t integer;
    double number;
    const Node* node;
  } payload_;
};

class StringNode : public Node {
 public:
  StringNode(Budget* budget, std::string text, bool safe);
  const std::string& text() const noexcept { return text_; }
  size_t length() const noexcept { return length_; }  // code points
  bool ascii() const noexcept { return length_ == text_.size(); }
  bool safe() const noexcept { return safe_; }  // markup: the result of `safe` or `escape`

 private:
  std::string text_;
  size_t length_;
  bool safe_;
};

class ListNode : public Node {
 public:
  ListNode(Budget* budget, std::vector<Value> items, bool group);
  const std::vector<Value>& items() const noexcept { return items_; }
  bool group() const noexcept { return group_; }  // a tuple of groupby, with the names `grouper` and `list`

 private:
  std::vector<Value> items_;
  bool group_;
};

// Keeps the order of insertion; equal keys (1 == True == 1.0) are one entry, as in Python.
class DictNode : public Node {
 public:
  using Items = std::vector<std::pair<Value, Value>>;
  DictNode(Budget* budget, Items items);
  const Items& items() const noexcept { return items_; }
  const Value* find(const Value& key) const noexcept;  // null when absent, or when `key` cannot be a key
  const Value* find(std::string_view key) const noexcept;

 private:
  Items items_;
  std::vector<uint32_t> order_;  // indices in key order; empty while linear search is as good
};

// Remembers what was looked for, so that the error it may cause later can say so.
class UndefinedNode : public Node {
 public:
  UndefinedNode(Budget* budget, std::string hint)
      : Node(budget, sizeof *this + hint.size(), 1), hint_(std::move(hint)) {}
  UndefinedNode(Budget* budget, std::string owner, Value name)
      : Node(budget, sizeof *this + owner.size(), 1 + name.depth()),
        owner_(std::move(owner)),
        name_(std::move(name)) {}
  std::string message() const;

 private:
  std::string hint_;
  std::string owner_;  // "dict object"; empty for a variable
  Value name_;
};

Value make_string(Budget* budget, std::string text, bool safe = false);
Value make_big_int(Budget* budget, std::string digits);  // decimal, beyond int64
Value make_list(Budget* budget, std::vector<Value> items);
Value make_tuple(Budget* budget, std::vector<Value> items, bool group = false);
// A later entry replaces the value of an equal earlier key. Throws Failure when a key is a list or dict.
Value make_dict(Budget* budget, DictNode::Items items);

// Orders everything that can be a dict key (by type first); equal exactly when Python calls the keys equal.
int compare_keys(const Value& a, const Value& b) noexcept;
bool is_hashable(const Value& value) noexcept;
// Exact, also where a double cannot hold the integer. NaN is greater than everything here.
int compare_int_float(int64_t a, double b) noexcept;

// Python's names: "str", "NoneType"; and as Jinja words them for lookups: "str object", "None".
std::string type_name(const Value& value);
std::string described_type(const Value& value);

}  // namespace mach::jinja
