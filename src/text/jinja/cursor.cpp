#include "text/jinja/cursor.h"

#include <fmt/format.h>

#include "text/jinja/failure.h"
#include "text/jinja/unicode.h"

namespace mach::jinja {

bool is_iterable(const Value& value) noexcept {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
      return true;
    case Kind::kObject:
      return value.object().iteration() != Object::Iteration::kNone;
    default:
      return false;
  }
}

Cursor::Cursor(Value iterable) : iterable_(std::move(iterable)) {
  if (!is_iterable(iterable_)) fail(fmt::format("'{}' object is not iterable", type_name(iterable_)));
}

bool Cursor::next(Runtime& rt, Value& out) {
  rt.budget.step();
  switch (iterable_.kind()) {
    case Kind::kString: {
      const std::string_view text = iterable_.text();
      if (at_ >= text.size()) return false;
      const size_t start = at_;
      next_code_point(text, at_);
      out = rt.string(std::string(text.substr(start, at_ - start)));
      return true;
    }
    case Kind::kList:
    case Kind::kTuple:
      if (at_ >= iterable_.items().size()) return false;
      out = iterable_.items()[at_++];
      return true;
    case Kind::kDict:
      if (at_ >= iterable_.dict().items().size()) return false;
      out = iterable_.dict().items()[at_++].first;
      return true;
    case Kind::kObject: {
      Object& object = iterable_.object();
      if (object.iteration() == Object::Iteration::kOneShot) return object.next(rt, out);
      if (at_ >= object.size()) return false;
      out = object.at(rt, at_++);
      return true;
    }
    default:
      return false;
  }
}

std::optional<size_t> Cursor::size() const noexcept {
  switch (iterable_.kind()) {
    case Kind::kString:
      return iterable_.string().length();
    case Kind::kList:
    case Kind::kTuple:
      return iterable_.items().size();
    case Kind::kDict:
      return iterable_.dict().items().size();
    case Kind::kObject:
      if (iterable_.object().iteration() == Object::Iteration::kOneShot) return std::nullopt;
      return iterable_.object().size();
    default:
      return 0;
  }
}

std::vector<Value> collect(Runtime& rt, const Value& iterable) {
  Cursor cursor(iterable);
  ListBuilder items(rt.budget);
  Value item;
  while (cursor.next(rt, item)) items.push(std::move(item));
  return items.take();
}

void ListBuilder::push(Value value) {
  if (items_.size() == items_.capacity()) {
    const size_t room = items_.capacity() == 0 ? 8 : items_.capacity() * 2;
    budget_.allocate(room * sizeof(Value) - charged_);
    charged_ = room * sizeof(Value);
    items_.reserve(room);
  }
  items_.push_back(std::move(value));
}

std::vector<Value> ListBuilder::take() noexcept {
  budget_.release(charged_);
  charged_ = 0;
  return std::move(items_);
}

}  // namespace mach::jinja
