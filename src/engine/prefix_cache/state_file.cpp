#include "engine/prefix_cache/state_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include "mach/error.h"

#include "base/byte_cursor.h"
#include "base/errno_error.h"
#include "base/fd.h"
#include "base/file.h"
#include "model/state_io.h"

namespace mach {
namespace {

constexpr std::string_view kMagic = "MACHPFX\n";
constexpr uint64_t kUseOffset = 16;
constexpr uint64_t kAfterUse = 32;
constexpr uint64_t kTokensOffset = 72;

[[noreturn]] void corrupt(std::string_view name, const std::string& what) {
  throw Error(ErrorCode::kCorruptFile, std::string(name) + ": " + what);
}

// Of a header with its tokens; the use is left out.
uint64_t header_checksum(std::span<const std::byte> header) {
  const auto after = header.subspan(kAfterUse);
  return XXH3_64bits_withSeed(after.data(), after.size(), XXH3_64bits(header.data(), kUseOffset));
}

class HeaderBytes {
 public:
  template <class T>
  void put(const T& value) {
    put_bytes(std::as_bytes(std::span(&value, 1)));
  }
  void put_bytes(std::span<const std::byte> bytes) {
    const size_t end = out_.size();
    out_.resize(end + bytes.size());
    std::memcpy(out_.data() + end, bytes.data(), bytes.size());
  }
  std::span<const std::byte> bytes() const noexcept { return out_; }

 private:
  std::vector<std::byte> out_;
};

HeaderBytes make_header(const ModelIdentity& identity, const FileUse& use, std::span<const TokenId> tokens,
                        uint32_t truncatable_to, uint64_t state_bytes) {
  HeaderBytes header;
  header.put_bytes(std::as_bytes(std::span(kMagic)));
  header.put(kStateFileVersion);
  header.put(use.effective_hits);
  header.put(use.last_used);
  header.put(identity.high);
  header.put(identity.low);
  header.put(uint64_t{tokens.size()});
  header.put(uint64_t{truncatable_to});
  header.put(state_bytes);
  header.put_bytes(std::as_bytes(tokens));
  header.put(header_checksum(header.bytes()));
  return header;
}

}  // namespace

StateFileHeader parse_state_file(std::span<const std::byte> head, uint64_t file_bytes,
                                 std::string_view name) {
  ByteCursor cursor(head, name);
  if (cursor.take_text(kMagic.size(), "magic") != kMagic) corrupt(name, "is no saved prefix");
  if (const auto version = cursor.read<uint64_t>("version"); version != kStateFileVersion) {
    corrupt(name, "version " + std::to_string(version) + ", not " + std::to_string(kStateFileVersion));
  }
  StateFileHeader header;
  header.use.effective_hits = cursor.read<double>("effective hits");
  header.use.last_used = cursor.read<int64_t>("time of the last use");
  // Not in the checksum: what makes no sense is a file that was never used.
  if (!std::isfinite(header.use.effective_hits) || header.use.effective_hits < 0 ||
      header.use.last_used < 0) {
    header.use = {};
  }
  header.identity.high = cursor.read<uint64_t>("model identity");
  header.identity.low = cursor.read<uint64_t>("model identity");
  const auto count = cursor.read<uint64_t>("token count");
  const auto truncatable_to = cursor.read<uint64_t>("truncatable length");
  header.state_bytes = cursor.read<uint64_t>("state size");
  if (count == 0 || count > cursor.remaining() / sizeof(TokenId))
    corrupt(name, "token count exceeds the file");
  if (truncatable_to > count) corrupt(name, "truncatable length exceeds the tokens");
  const auto token_bytes = cursor.take(count * sizeof(TokenId), "tokens");
  const uint64_t header_size = cursor.position();
  if (cursor.read<uint64_t>("header checksum") != header_checksum(head.first(header_size))) {
    corrupt(name, "header checksum does not match");
  }
  header.state_offset = cursor.position();
  if (header.state_bytes != file_bytes - header.state_offset)
    corrupt(name, "state size is not what the file holds");
  header.tokens.resize(count);
  std::memcpy(header.tokens.data(), token_bytes.data(), token_bytes.size());
  header.truncatable_to = static_cast<uint32_t>(truncatable_to);
  return header;
}

uint64_t write_state_file(const std::filesystem::path& path, const ModelIdentity& identity,
                          const FileUse& use, std::span<const TokenId> tokens, uint32_t truncatable_to,
                          const SequenceState& state) {
  AtomicFile file(path);
  uint64_t state_bytes = 0;
  file.write(make_header(identity, use, tokens, truncatable_to, 0).bytes());
  StateWriter writer([&](std::span<const std::byte> piece) {
    file.write(piece);
    state_bytes += piece.size();
  });
  state.save(writer);
  writer.finish();
  const HeaderBytes header = make_header(identity, use, tokens, truncatable_to, state_bytes);
  file.write_at(0, header.bytes());
  file.commit();
  return header.bytes().size() + state_bytes;
}

void read_state_file(const std::filesystem::path& path, const ModelIdentity& identity,
                     std::span<const TokenId> tokens, std::span<std::byte> window, SequenceState& state) {
  const std::string name = path.string();
  const Fd fd = open_file(path, O_RDONLY);
  const uint64_t file_bytes = file_size(fd, path);
  // What a header with these tokens takes; one with others differs before its end.
  std::vector<std::byte> head(
      std::min<uint64_t>(file_bytes, kTokensOffset + tokens.size_bytes() + sizeof(uint64_t)));
  read_exactly(fd, 0, head, path);
  const StateFileHeader header = parse_state_file(head, file_bytes, name);
  if (header.identity != identity) corrupt(name, "was made by another model");
  if (!std::equal(header.tokens.begin(), header.tokens.end(), tokens.begin(), tokens.end())) {
    corrupt(name, "holds other tokens");
  }
  const auto read = [&](uint64_t offset, std::span<std::byte> out) {
    read_exactly(fd, header.state_offset + offset, out, path);
  };
  StateReader reader(read, header.state_bytes, window, name);
  state.load(reader);
  try {
    reader.expect_end();
    if (state.length() != tokens.size()) reader.fail("length is not that of the tokens");
  } catch (...) {
    state.truncate(0);
    throw;
  }
}

void write_file_use(const std::filesystem::path& path, const FileUse& use) {
  const Fd fd = open_file(path, O_WRONLY);
  std::byte bytes[sizeof use.effective_hits + sizeof use.last_used];
  std::memcpy(bytes, &use.effective_hits, sizeof use.effective_hits);
  std::memcpy(bytes + sizeof use.effective_hits, &use.last_used, sizeof use.last_used);
  if (::pwrite(fd.get(), bytes, sizeof bytes, static_cast<off_t>(kUseOffset)) != sizeof bytes) {
    throw errno_error("cannot write " + path.string(), errno);
  }
}

}  // namespace mach
