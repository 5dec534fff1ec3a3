// Grows one text within the budget: each byte is counted while it is built, so that no chain of appends can outgrow the
// memory or the text limit. Single-owner.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "text/jinja/budget.h"

namespace mach::jinja {

class TextBuilder {
 public:
  explicit TextBuilder(Budget& budget) noexcept : budget_(budget) {}
  TextBuilder(const TextBuilder&) = delete;
  TextBuilder& operator=(const TextBuilder&) = delete;
  ~TextBuilder() { budget_.release(charged_); }

  // Throw Failure{kTooLarge} past the limits.
  void append(std::string_view text) {
    grow(text.size());
    text_ += text;
  }
  void append(size_t count, char c) {
    grow(count);
    text_.append(count, c);
  }
  void append_repeated(size_t count, std::string_view piece) {
    if (piece.empty()) return;
    budget_.check_text(count);  // so that the product below cannot overflow
    grow(count * piece.size());
    if (piece.size() == 1) {
      text_.append(count, piece.front());
    } else {
      for (size_t i = 0; i < count; ++i) text_ += piece;
    }
  }

  Budget& budget() const noexcept { return budget_; }
  size_t size() const noexcept { return text_.size(); }
  std::string_view view() const noexcept { return text_; }
  std::string take() noexcept {
    budget_.release(std::exchange(charged_, 0));
    return std::exchange(text_, {});
  }

 private:
  void grow(size_t bytes) {
    const size_t size = text_.size() + bytes;
    budget_.step_bytes(bytes);
    if (size <= charged_) return;
    budget_.check_text(size);
    const size_t room = size < 256 ? 256 : size + size / 2;
    budget_.allocate(room - charged_);
    charged_ = room;
    text_.reserve(room);
  }

  Budget& budget_;
  std::string text_;
  size_t charged_ = 0;
};

}  // namespace mach::jinja
