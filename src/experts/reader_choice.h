// Which way of reading, and how many records at a time, this drive likes best. Measured on the files themselves when a
// model is opened, for a fraction of a second: drives, file systems and containers differ too much to know.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "experts/expert_source.h"
#include "io/file_reader.h"

namespace mach {

struct ReaderChoice {
  ReaderKind kind = ReaderKind::kBuffered;
  uint32_t lanes = 1;
  double bytes_per_second = 0;  // measured; 0 where nothing was (forced, or too little to measure with)
};

// With `forced` only the number of lanes is measured. Reads at most a few hundred MiB of records, chosen at random. Throws
// Error{kUnsupported} where the forced kind is refused, kIo and kCorruptFile where a record cannot be read.
ReaderChoice choose_reader(const ExpertSource& source, std::optional<ReaderKind> forced);

}  // namespace mach
