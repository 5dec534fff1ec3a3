// Walks over anything a template can loop over: list and tuple items, dict keys, characters, ranges, views, iterators.
#pragma once

#include <optional>
#include <vector>

#include "text/jinja/runtime.h"

namespace mach::jinja {

class Cursor {
 public:
  Cursor() = default;  // over nothing
  // Throws Failure when `iterable` cannot be iterated. An undefined value is empty.
  explicit Cursor(Value iterable);
  bool next(Runtime& rt, Value& out);           // false at the end
  std::optional<size_t> size() const noexcept;  // of the whole, where it has one

 private:
  Value iterable_;
  size_t at_ = 0;  // index; byte offset in a string
};

bool is_iterable(const Value& value) noexcept;
// All items, counted against the budget while they are collected.
std::vector<Value> collect(Runtime& rt, const Value& iterable);

// A list under construction whose growth is counted.
class ListBuilder {
 public:
  explicit ListBuilder(Budget& budget) noexcept : budget_(budget) {}
  ListBuilder(const ListBuilder&) = delete;
  ListBuilder& operator=(const ListBuilder&) = delete;
  ~ListBuilder() { budget_.release(charged_); }
  void push(Value value);
  std::vector<Value>& items() noexcept { return items_; }
  std::vector<Value> take() noexcept;

 private:
  Budget& budget_;
  std::vector<Value> items_;
  size_t charged_ = 0;
};

}  // namespace mach::jinja
