// Text that a user hands to a command: an argument, standard input, or a file. Always valid UTF-8 afterwards.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace mach::tools {

inline constexpr uint64_t kMaxTextInputBytes = uint64_t{64} << 20;

// Standard input up to its end. Throws Error{kTooLarge, kIo}.
std::string read_standard_input();

// `text`, unless it is not UTF-8: Error{kInvalidRequest} with the position of the first wrong byte. `field` is the
// option's name for errors.
std::string checked_text(std::string_view field, std::string text);

// `argument` itself, or standard input if it is "-". Throws as both.
std::string text_argument(std::string_view field, const std::string& argument);

// The content of a file, as it stands. Throws Error{kNotFound, kIo, kTooLarge, kInvalidRequest}.
std::string text_file(std::string_view field, const std::filesystem::path& path);

}  // namespace mach::tools
