// The `loop` variable of a for loop. Looks one item ahead, and only when asked, so that a loop over an iterator takes no
// more from it than Jinja's would.
#pragma once

#include <memory>
#include <optional>

#include "text/jinja/cursor.h"
#include "text/jinja/object.h"
#include "text/jinja/stmt.h"

namespace mach::jinja {

class LoopObject final : public Object {
 public:
  // `outer` is set for recursive loops: the scope that loop(...) runs its body in.
  LoopObject(Runtime& rt, const For& statement, const Value& items, int64_t depth0,
             std::shared_ptr<Scope> outer);

  bool advance(Runtime& rt, Value& item);
  // The loop has ended: what it held may go, the counters stay for whoever kept the object.
  void finish() noexcept;

  std::string_view type_name() const override { return "LoopContext"; }
  std::string described_type() const override { return "jinja2.runtime.LoopContext object"; }
  void print(TextBuilder& out, int nesting) const override;
  bool truthy() const override { return true; }
  Value attribute(Runtime& rt, std::string_view name) const override;
  bool callable() const override { return true; }
  Value call(Runtime& rt, const Arguments& arguments) override;

 private:
  bool peek(Runtime& rt);  // fills after_ if there is a next item
  int64_t length(Runtime& rt);
  Value changed(Runtime& rt, const Arguments& arguments);
  Value cycle(const Arguments& arguments) const;
  Value computed(Runtime& rt, std::string_view name);

  const For& statement_;
  Cursor cursor_;
  std::optional<int64_t> length_;
  int64_t index0_ = -1;
  int64_t depth0_;
  Value before_, current_;
  Value after_ = Value::missing();
  Value last_changed_ = Value::missing();
  std::vector<Value> ahead_;  // items taken from an iterator to count them, in reverse
  std::shared_ptr<Scope> outer_;
  bool finished_ = false;
};

}  // namespace mach::jinja
