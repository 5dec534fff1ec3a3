// A folder that appears under its name only when it is whole: files are made in a sibling with ".partial" behind the name,
// which commit() flushes and renames. Without commit() the destructor removes it, or keeps it for a later run to go on; what a
// killed process leaves has the partial name, too. Single owner.
#pragma once

#include <cstdint>
#include <filesystem>

namespace mach {

// What to do with files in a partial folder, of an earlier run or of this one when it ends early.
enum class Leftover : uint8_t { kRemove, kKeep };

class NewFolder {
 public:
  // Creates the parents too. Throws Error{kInvalidRequest} if something stands at `path` (an empty folder may), Error{kIo}.
  explicit NewFolder(std::filesystem::path path, Leftover leftover = Leftover::kRemove);
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;
  ~NewFolder();

  const std::filesystem::path& partial() const noexcept { return partial_; }  // write here
  void commit();

 private:
  std::filesystem::path path_, partial_;
  const Leftover leftover_;
  bool committed_ = false;
};

}  // namespace mach
