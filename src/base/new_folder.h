// A folder that appears under its name only when it is whole: files are made in a sibling with ".partial" behind the name,
// which commit() flushes and renames. Without commit() the destructor removes it; what a killed process leaves has the partial
// name, and the next NewFolder of the same path begins afresh. Single owner.
#pragma once

#include <filesystem>

namespace mach {

class NewFolder {
 public:
  // Creates the parents too. Throws Error{kInvalidRequest} if something stands at `path` (an empty folder may), Error{kIo}.
  explicit NewFolder(std::filesystem::path path);
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;
  ~NewFolder();

  const std::filesystem::path& partial() const noexcept { return partial_; }  // write here
  void commit();

 private:
  std::filesystem::path path_, partial_;
  bool committed_ = false;
};

}  // namespace mach
