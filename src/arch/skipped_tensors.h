// Names of tensors that checkpoints carry and a text model does not need.
#pragma once

#include <string_view>

namespace mach {

// Why a tensor of this name is left out; empty if the name says nothing.
std::string_view skip_reason(std::string_view name) noexcept;

}  // namespace mach
