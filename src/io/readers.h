// One maker per kind of reader, each in a file of its own; the table in file_reader.cpp joins them. Null: not possible
// here.
#pragma once

#include <memory>
#include <span>

#include "io/file_reader.h"

namespace mach {

using ReaderMemory = std::span<const std::span<std::byte>>;

std::unique_ptr<FileReader> make_uring_reader(const ReadFiles& files, ReaderMemory memory);
std::unique_ptr<FileReader> make_pread_reader(const ReadFiles& files, ReaderMemory memory);
std::unique_ptr<FileReader> make_buffered_reader(const ReadFiles& files, ReaderMemory memory);
std::unique_ptr<FileReader> make_mmap_reader(const ReadFiles& files, ReaderMemory memory);

}  // namespace mach
