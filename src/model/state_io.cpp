#include "model/state_io.h"

#include <algorithm>
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

// Where the checksum is in a state of `size` bytes.
uint64_t body_size(uint64_t size, std::string_view name) {
  if (size < kMagic.size() + kChecksumBytes) corrupt(name, "too short");
  return size - kChecksumBytes;
}

void check_magic(std::span<const std::byte> bytes, std::string_view name) {
  if (std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0)
    corrupt(name, "does not start with MACHSTAT");
}

}  // namespace

class StateChecksum {
 public:
  StateChecksum() : state_(XXH3_createState()) {
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

StateWriter::StateWriter(Sink sink) : sink_(std::move(sink)), checksum_(std::make_unique<StateChecksum>()) {
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
    : name_(name),
      body_end_(body_size(bytes.size(), name)),
      window_end_(body_end_),
      cursor_(bytes.first(body_end_), name) {
  check_magic(bytes, name);
  uint64_t stored = 0;
  std::memcpy(&stored, bytes.data() + body_end_, kChecksumBytes);
  if (stored != checksum(bytes.first(body_end_))) corrupt(name, "checksum does not match");
  begin();
}

StateReader::StateReader(ReadAt read, uint64_t size, std::span<std::byte> window, std::string_view name)
    : name_(name),
      read_(std::move(read)),
      window_(window),
      body_end_(body_size(size, name)),
      window_end_(0),
      cursor_({}, name) {
  StateChecksum sum;
  while (window_end_ < body_end_) {
    const uint64_t first = window_end_;
    load_window(0);
    if (first == 0) check_magic(window_, name);
    sum.add(window_.first(window_end_ - first));
    cursor_.skip(window_end_ - first, "window");
  }
  uint64_t stored = 0;
  read_(body_end_, std::as_writable_bytes(std::span(&stored, 1)));
  if (stored != sum.value()) corrupt(name, "checksum does not match");
  if (body_end_ > window_.size()) {
    window_end_ = 0;
    load_window(0);
  } else {
    cursor_ = {window_.first(body_end_), name_};
  }
  begin();
}

void StateReader::begin() {
  cursor_.skip(kMagic.size(), "magic");
  expect(kStateVersion, "version");
}

// From the present position on, as much as the window holds but no less than `at_least`.
void StateReader::load_window(uint64_t at_least) {
  const uint64_t position = window_end_ - cursor_.remaining();
  if (at_least > window_.size()) {
    larger_ = AlignedBuffer(at_least);
    window_ = larger_.bytes();
  }
  const uint64_t size = std::min<uint64_t>(window_.size(), body_end_ - position);
  const auto filled = window_.first(size);
  read_(position, filled);
  cursor_ = {filled, name_};
  window_end_ = position + size;
}

std::span<const std::byte> StateReader::bytes(uint64_t size, std::string_view what) {
  if (size > remaining()) {
    fail("ends inside " + std::string(what) + ": " + std::to_string(size) + " bytes wanted, " +
         std::to_string(remaining()) + " left");
  }
  if (size > cursor_.remaining()) load_window(size);
  return cursor_.take(size, what);
}

uint64_t StateReader::number(std::string_view what) {
  uint64_t value = 0;
  std::memcpy(&value, bytes(sizeof value, what).data(), sizeof value);
  return value;
}

uint32_t StateReader::count(uint64_t each_bytes, std::string_view what) {
  const uint64_t value = number(what);
  if (value > std::numeric_limits<uint32_t>::max() || (each_bytes != 0 && value > remaining() / each_bytes)) {
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
  const auto name = bytes(number("length of a name"), "name");
  const std::string_view found(reinterpret_cast<const char*>(name.data()), name.size());
  if (found != value)
    fail("'" + std::string(found.substr(0, 40)) + "' stands where '" + std::string(value) + "' should");
}

void StateReader::expect_end() {
  if (remaining() != 0) fail(std::to_string(remaining()) + " bytes too many");
}

void StateReader::fail(const std::string& what) const { corrupt(name_, what); }

}  // namespace mach
