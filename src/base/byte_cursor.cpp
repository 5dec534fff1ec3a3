#include "base/byte_cursor.h"

#include "mach/error.h"

namespace mach {

void ByteCursor::fail(uint64_t n, std::string_view what) const {
  throw Error(ErrorCode::kCorruptFile, std::string(name_) + " ends inside " + std::string(what) + ": " +
                                           std::to_string(n) + " bytes wanted at " +
                                           std::to_string(position()) + ", " + std::to_string(remaining()) +
                                           " left");
}

}  // namespace mach
