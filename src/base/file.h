// Whole small files: read with a limit, written so that a crash leaves the old file or the new one, never
// half of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace mach {

// The bytes of a regular file. Throws kNotFound, kIo, or kTooLarge when it is longer than max_bytes; each
// names the path.
std::string read_text_file(const std::filesystem::path& path, uint64_t max_bytes);

// A file that appears under its name only when it is whole. Bytes go to a temporary name in the same folder;
// commit() flushes them to the device, renames, and flushes the folder. Without commit() the destructor
// removes the temporary. Single owner.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  // Overwrites bytes already written (a header whose content is known last).
  void write_at(uint64_t offset, std::span<const std::byte> bytes);
  void commit();

  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  Fd fd_;
};

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

}  // namespace mach
