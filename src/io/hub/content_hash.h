// The hashes by which the hub names file contents: SHA-256 of the bytes for large files, and git's blob hash, SHA-1 of
// "blob <size>\0" and the bytes, for the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace mach {

class ContentHash {
 public:
  static ContentHash sha256();
  static ContentHash git_blob(uint64_t size);
  ContentHash(ContentHash&&) noexcept;
  ~ContentHash();

  void update(std::span<const std::byte> bytes);
  std::string finish();  // lower-case hex; once

 private:
  struct Impl;
  explicit ContentHash(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mach
