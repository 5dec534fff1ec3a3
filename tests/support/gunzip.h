// Reads a gzip file of the reference material. For tests and benchmarks, which link ZLIB::ZLIB; mach itself reads none.
#pragma once

#include <array>
#include <filesystem>
#include <stdexcept>
#include <string>

#include <zlib.h>

namespace mach::testing {

inline std::string gunzip(const std::filesystem::path& path) {
  const gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) throw std::runtime_error("cannot open " + path.string());
  std::string text;
  std::array<char, 1 << 16> buffer{};
  int count = 0;
  while ((count = gzread(file, buffer.data(), static_cast<unsigned>(buffer.size()))) > 0) {
    text.append(buffer.data(), static_cast<size_t>(count));
  }
  const bool whole = gzclose(file) == Z_OK && count == 0;
  if (!whole) throw std::runtime_error("cannot read " + path.string());
  return text;
}

}  // namespace mach::testing
