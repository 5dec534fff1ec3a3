// Makes whole, valid UTF-8 of text that arrives in arbitrary byte pieces (byte-level tokens cut characters apart).
// Bytes that cannot belong to a character become U+FFFD, one per maximal broken sequence (Unicode 15, section 3.9).
// Holds back at most three bytes. Single-owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mach {

class Utf8Stream {
 public:
  // Appends to `out` what `bytes` completes.
  void push(std::string_view bytes, std::string& out);
  // No more bytes belong to the character begun: a partial one becomes U+FFFD.
  void flush(std::string& out);

 private:
  void begin(char c, std::string& out);

  std::string partial_;               // a begun character
  size_t wanted_ = 0;                 // its length in bytes
  uint8_t low_ = 0x80, high_ = 0xBF;  // what its next byte may be
};

}  // namespace mach
