// A table of words in aligned columns, for terminals: a header line, then the rows. The last column is not padded.
#pragma once

#include <string>
#include <vector>

namespace mach::tools {

class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header) { add(std::move(header)); }

  // As many cells as the header has.
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// "8.1 MB", "17.3 GB": decimal units, three digits.
std::string shown_bytes(uint64_t bytes);

}  // namespace mach::tools
