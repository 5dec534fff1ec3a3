// A borrowed callable: two pointers, never allocates. The callable must outlive every call, so a FunctionRef
// is for parameters, not for members that stay.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace mach {

template <class F, class Ref, class R, class... Args>
concept BorrowedBy = !std::is_same_v<std::remove_cvref_t<F>, Ref> &&
                     std::is_object_v<std::remove_reference_t<F>> && std::is_invocable_r_v<R, F&, Args...>;

template <class Signature>
class FunctionRef;

template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <BorrowedBy<FunctionRef, R, Args...> F>
  // NOLINTNEXTLINE(bugprone-forwarding-reference-overload): the concept leaves copies alone
  FunctionRef(F&& callable) noexcept
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(callable)))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}

  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

}  // namespace mach
