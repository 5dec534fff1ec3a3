#include "base/new_folder.h"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

#include "mach/error.h"

#include "base/errno_error.h"
#include "base/fd.h"

namespace mach {
namespace {

void sync(const std::filesystem::path& folder) {
  const Fd fd = open_file(folder.empty() ? std::filesystem::path(".") : folder, O_RDONLY | O_DIRECTORY);
  // Some network file systems refuse fsync on folders.
  if (::fsync(fd.get()) != 0 && errno != EINVAL)
    throw errno_error("cannot flush folder " + folder.string(), errno);
}

}  // namespace

NewFolder::NewFolder(std::filesystem::path path, Leftover leftover)
    : path_(std::move(path)), leftover_(leftover) {
  if (!path_.has_filename()) path_ = path_.parent_path();
  partial_ = path_;
  partial_ += ".partial";
  std::error_code error;
  if (std::filesystem::exists(path_, error) && !std::filesystem::is_empty(path_, error)) {
    throw Error(ErrorCode::kInvalidRequest,
                path_.string() + ": exists already; remove it or choose another name");
  }
  if (leftover_ == Leftover::kRemove) std::filesystem::remove_all(partial_, error);
  std::filesystem::create_directories(partial_, error);
  if (error) throw errno_error("cannot create folder " + partial_.string(), error.value());
}

NewFolder::~NewFolder() {
  std::error_code ignored;
  if (!committed_ && leftover_ == Leftover::kRemove) std::filesystem::remove_all(partial_, ignored);
}

void NewFolder::commit() {
  sync(partial_);
  if (::rename(partial_.c_str(), path_.c_str()) != 0) {
    throw errno_error("cannot rename " + partial_.string() + " to " + path_.string(), errno);
  }
  committed_ = true;
  sync(path_.parent_path());
}

}  // namespace mach
