#include "base/errno_error.h"

#include <cerrno>
#include <string>
#include <system_error>

namespace mach {

Error errno_error(std::string_view what, int errno_value) {
  const bool missing = errno_value == ENOENT || errno_value == ENOTDIR;
  return {missing ? ErrorCode::kNotFound : ErrorCode::kIo,
          std::string(what) + ": " + std::generic_category().message(errno_value)};
}

}  // namespace mach
