#include "text/jinja/macro.h"

#include <algorithm>

#include <fmt/format.h>

#include "text/jinja/failure.h"

namespace mach::jinja {
namespace {

bool has_parameter(const Signature& signature, std::string_view name) {
  return std::ranges::find(signature.names, name) != signature.names.end();
}

}  // namespace

MacroObject::MacroObject(Runtime& rt, const Signature& signature, std::shared_ptr<Scope> scope)
    : Object(&rt.budget, sizeof *this, 1), signature_(signature), scope_(std::move(scope)) {}

void MacroObject::print(TextBuilder& out, int) const {
  out.append(signature_.name.empty() ? "<Macro anonymous>" : fmt::format("<Macro '{}'>", signature_.name));
}

Value MacroObject::attribute(Runtime& rt, std::string_view name) const {
  if (name == "name") return signature_.name.empty() ? Value() : rt.string(signature_.name);
  if (name == "arguments") {
    std::vector<Value> names;
    for (const auto& parameter : signature_.names) names.push_back(rt.string(parameter));
    return rt.tuple(std::move(names));
  }
  if (name == "catch_kwargs") return Value::boolean(signature_.uses_kwargs);
  if (name == "catch_varargs") return Value::boolean(signature_.uses_varargs);
  if (name == "caller") return Value::boolean(signature_.uses_caller);
  return Value::missing();
}

// Python's order: positions, then names; what is over goes to varargs and kwargs if the body mentions them.
void MacroObject::bind(Runtime& rt, Scope& scope, const Arguments& arguments) const {
  const auto& parameters = signature_.parameters;
  const size_t by_position = std::min(arguments.positional.size(), parameters.size());
  std::vector<bool> used(arguments.named.size());
  std::vector<Value> values(arguments.positional.begin(),
                            arguments.positional.begin() + static_cast<ptrdiff_t>(by_position));
  for (size_t i = by_position; i < parameters.size(); ++i) {
    Value value = Value::missing();
    for (size_t k = 0; k < arguments.named.size(); ++k) {
      if (arguments.named[k].first != signature_.names[i]) continue;
      value = arguments.named[k].second;
      used[k] = true;
    }
    values.push_back(std::move(value));
  }

  const bool own_caller = has_parameter(signature_, "caller");
  if (signature_.uses_caller && !own_caller) {
    Value caller;
    for (size_t k = 0; k < arguments.named.size(); ++k) {
      if (arguments.named[k].first != "caller") continue;
      caller = arguments.named[k].second;
      used[k] = true;
    }
    if (caller.is_none()) caller = rt.undefined("No caller defined");
    scope.set(signature_.caller, std::move(caller));
  }
  DictNode::Items more;
  for (size_t k = 0; k < arguments.named.size(); ++k) {
    if (used[k]) continue;
    if (!signature_.uses_kwargs) {
      fail(fmt::format("macro '{}' takes no keyword argument '{}'", signature_.name,
                       arguments.named[k].first));
    }
    more.emplace_back(rt.string(arguments.named[k].first), arguments.named[k].second);
  }
  if (signature_.uses_kwargs) scope.set(signature_.kwargs, rt.dict(std::move(more)));
  if (signature_.uses_varargs) {
    std::vector<Value> rest(arguments.positional.begin() + static_cast<ptrdiff_t>(by_position),
                            arguments.positional.end());
    scope.set(signature_.varargs, rt.tuple(std::move(rest)));
  } else if (arguments.positional.size() > parameters.size()) {
    fail(fmt::format("macro '{}' takes not more than {} argument(s)", signature_.name, parameters.size()));
  }

  for (size_t i = 0; i < parameters.size(); ++i) {
    if (!values[i].is_missing()) scope.set(parameters[i].first, std::move(values[i]));
  }
  // Defaults see the parameters before them.
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (scope.find(parameters[i].first) != nullptr) continue;
    const ExprPtr& otherwise = parameters[i].second;
    scope.set(parameters[i].first,
              otherwise ? otherwise->eval(rt)
                        : rt.undefined(fmt::format("parameter '{}' was not provided", signature_.names[i])));
  }
}

Value MacroObject::call(Runtime& rt, const Arguments& arguments) {
  rt.enter_call();
  const auto scope = std::make_shared<Scope>(scope_);
  {
    const ScopeSwap inside(rt, *scope);
    bind(rt, *scope, arguments);
    Capture text(rt);
    exec_body(signature_.body, rt);
    rt.leave_call();
    return rt.string(text.take());
  }
}

}  // namespace mach::jinja
