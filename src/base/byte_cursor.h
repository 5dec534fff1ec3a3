// A checked cursor over untrusted bytes: every read is tested against what is left and throws
// Error{kCorruptFile} naming the file and the field. Numbers are little-endian at any alignment.
//   ByteCursor cursor(file.bytes(), "layer_03.bin");
//   const uint32_t count = cursor.read<uint32_t>("record count");
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace mach {

static_assert(std::endian::native == std::endian::little,
              "mach reads its little-endian formats without byte swaps");

class ByteCursor {
 public:
  // `name` says in errors whose bytes these are; it must outlive the cursor.
  ByteCursor(std::span<const std::byte> bytes, std::string_view name) noexcept
      : all_(bytes), rest_(bytes), name_(name) {}

  uint64_t position() const noexcept { return all_.size() - rest_.size(); }
  uint64_t remaining() const noexcept { return rest_.size(); }

  std::span<const std::byte> take(uint64_t n, std::string_view what) {
    if (n > rest_.size()) fail(n, what);
    return std::exchange(rest_, rest_.subspan(n)).first(n);
  }

  void skip(uint64_t n, std::string_view what) { take(n, what); }

  template <class T>
  requires std::is_arithmetic_v<T> T read(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }

  // n bytes as text, not checked for UTF-8.
  std::string_view take_text(uint64_t n, std::string_view what) {
    const auto bytes = take(n, what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

 private:
  [[noreturn]] void fail(uint64_t n, std::string_view what) const;

  std::span<const std::byte> all_;
  std::span<const std::byte> rest_;
  std::string_view name_;
};

}  // namespace mach
