#include "model/state_io.h"

#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include <xxhash.h>

#include "mach/error.h"

namespace mach {
namespace {

constexpr std::string_view kMagic = "MACHSTAT";
constexpr size_t kChecksumBytes = sizeof(uint64_t);
constexpr size_t kPieceBytes = size_t{1} << 20;

uint64_t checksum(std::span<const std::byte> bytes) noexcept {
  return XXH3_64bits(bytes.data(), bytes.size());
}

[[noreturn]] void corrupt(std::string_view name, const std::string& what) {
  throw Error(ErrorCode::kCorruptFile, std::string(name) + ": saved state: " + what);
}

// What stands before the checksum, once that has been found right.
std::span<const std::byte> checked_body(std::span<const std::byte> bytes, std::string_view name) {
  if (bytes.size() < kMagic.size() + kChecksumBytes) corrupt(name, "too short");
  if (std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0)
    corrupt(name, "does not start with MACHSTAT");
  const auto body = bytes.first(bytes.size() - kChecksumBytes);
  uint64_t stored = 0;
  std::memcpy(&stored, bytes.data() + body.size(), kChecksumBytes);
  if (stored != checksum(body)) corrupt(name, "checksum does not match");
  return body;
}

}  // namespace

class StateWriter::Checksum {
 public:
  Checksum() : state_(XXH3_createState()) {
    if (!state_) throw std::bad_alloc();
    XXH3_64bits_reset(state_.get());
  }
  void add(std::span<const std::byte> bytes) noexcept {
    XXH3_64bits_update(state_.get(), bytes.data(), bytes.size());
  }
  uint64_t value() const noexcept { return XXH3_64bits_digest(state_.get()); }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const noexcept { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
};

StateWriter::StateWriter() : StateWriter(Sink()) {}

StateWriter::StateWriter(Sink sink) : sink_(std::move(sink)), checksum_(std::make_unique<Checksum>()) {
  bytes(std::as_bytes(std::span(kMagic)));
  number(kStateVersion);
}

StateWriter::~StateWriter() = default;

void StateWriter::number(uint64_t value) { bytes(std::as_bytes(std::span(&value, 1))); }

void StateWriter::text(std::string_view value) {
  number(value.size());
  bytes(std::as_bytes(std::span(value)));
}

void StateWriter::bytes(std::span<const std::byte> value) {
  const size_t end = out_.size();
  out_.resize(end + value.size());
  if (!value.empty()) std::memcpy(out_.data() + end, value.data(), value.size());
  if (sink_ && out_.size() >= kPieceBytes) hand_over();
}

void StateWriter::hand_over() {
  checksum_->add(out_);
  sink_(out_);
  out_.clear();
}

std::vector<std::byte> StateWriter::finish() {
  if (!sink_) {
    number(checksum(out_));
    return std::move(out_);
  }
  hand_over();
  number(checksum_->value());
  sink_(out_);
  return {};
}

StateReader::StateReader(std::span<const std::byte> bytes, std::string_view name)
    : name_(name), cursor_(checked_body(bytes, name), name) {
  cursor_.skip(kMagic.size(), "magic");
  expect(kStateVersion, "version");
}

uint64_t StateReader::number(std::string_view what) { return cursor_.read<uint64_t>(what); }

uint32_t StateReader::count(uint64_t each_bytes, std::string_view what) {
  const uint64_t value = number(what);
  if (value > std::numeric_limits<uint32_t>::max() ||
      (each_bytes != 0 && value > cursor_.remaining() / each_bytes)) {
    fail(std::string(what) + " " + std::to_string(value) + " is more than the bytes hold");
  }
  return static_cast<uint32_t>(value);
}

void StateReader::expect(uint64_t value, std::string_view what) {
  const uint64_t found = number(what);
  if (found != value)
    fail(std::string(what) + " is " + std::to_string(found) + ", not " + std::to_string(value));
}

void StateReader::expect_text(std::string_view value) {
  const std::string_view found = cursor_.take_text(number("length of a name"), "name");
  if (found != value)
    fail("'" + std::string(found.substr(0, 40)) + "' stands where '" + std::string(value) + "' should");
}

void StateReader::expect_end() {
  if (cursor_.remaining() != 0) fail(std::to_string(cursor_.remaining()) + " bytes too many");
}

void StateReader::fail(const std::string& what) const { corrupt(name_, what); }

}  // namespace mach
