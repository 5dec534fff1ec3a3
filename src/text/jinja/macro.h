// A macro as a value: its parameters and body, and the scope it was defined in.
#pragma once

#include <memory>

#include "text/jinja/object.h"
#include "text/jinja/stmt.h"

namespace mach::jinja {

class MacroObject final : public Object {
 public:
  // `signature` belongs to the template, which outlives the rendering.
  MacroObject(Runtime& rt, const Signature& signature, std::shared_ptr<Scope> scope);
  std::string_view type_name() const override { return "Macro"; }
  std::string described_type() const override { return "jinja2.runtime.Macro object"; }
  void print(TextBuilder& out, int nesting) const override;
  Value attribute(Runtime& rt, std::string_view name) const override;
  bool callable() const override { return true; }
  Value call(Runtime& rt, const Arguments& arguments) override;

 private:
  void bind(Runtime& rt, Scope& scope, const Arguments& arguments) const;

  const Signature& signature_;
  std::shared_ptr<Scope> scope_;
};

}  // namespace mach::jinja
