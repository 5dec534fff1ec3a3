// io_uring with O_DIRECT: a read is cut into pieces that are all in flight together.
#include <algorithm>
#include <cerrno>
#include <vector>

#include <liburing.h>
#include <sys/uio.h>

#include "mach/error.h"

#include "base/aligned_buffer.h"
#include "base/errno_error.h"
#include "io/readers.h"

namespace mach {
namespace {

constexpr unsigned kDepth = 16;                        // reads in flight
constexpr uint64_t kPieceBytes = uint64_t{512} << 10;  // large enough for full speed, small enough to overlap
constexpr uint64_t kMaxRegistered = uint64_t{1} << 30;  // of one buffer, says the kernel

class Ring {
 public:
  Ring() noexcept : status_(::io_uring_queue_init(kDepth, &ring_, 0)) {}
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() {
    if (usable()) ::io_uring_queue_exit(&ring_);
  }
  bool usable() const noexcept { return status_ == 0; }
  io_uring* get() noexcept { return &ring_; }

 private:
  io_uring ring_{};
  int status_;
};

// A part of a request, small enough for one entry of the queue.
struct Piece {
  uint64_t offset = 0;  // in the file
  std::byte* into = nullptr;
  uint64_t size = 0;
  uint64_t wanted = 0;
  int64_t result = 0;  // bytes, or a negative errno
};

class UringReader final : public FileReader {
 public:
  UringReader(const ReadFiles& files, ReaderMemory memory) : files_(files) {
    if (ring_.usable()) register_memory(memory);
  }

  bool usable() const noexcept { return ring_.usable(); }

  void read(size_t file, std::span<const ReadPart> parts) override {
    cut(parts);
    const int fd = files_.direct(file).get();
    size_t next = 0;
    bool failed = broken_;
    // After a failure nothing new is started, but what is in flight is waited for: the memory is the caller's again then.
    while (in_flight_ > 0 || prepared_ > 0 || (next < pieces_.size() && !failed)) {
      while (!failed && next < pieces_.size() && in_flight_ + prepared_ < kDepth)
        prepare(fd, pieces_[next++]);
      submit_and_wait();
      failed = reap() || failed || broken_;
    }
    finish(file);
  }

 private:
  void register_memory(ReaderMemory memory) {
    for (const std::span<std::byte> range : memory) {
      for (std::span<std::byte> rest = range; !rest.empty();) {
        const auto part = rest.first(std::min<uint64_t>(rest.size(), kMaxRegistered));
        registered_.push_back({part.data(), part.size()});
        rest = rest.subspan(part.size());
      }
    }
    // Refused where locked memory is limited; plain reads are a little slower and do as well.
    if (!registered_.empty() && ::io_uring_register_buffers(ring_.get(), registered_.data(),
                                                            static_cast<unsigned>(registered_.size())) != 0) {
      registered_.clear();
    }
  }

  void cut(std::span<const ReadPart> parts) {
    pieces_.clear();
    for (const ReadPart& part : parts) {
      for (uint64_t at = 0; at < part.wanted; at += kPieceBytes) {
        pieces_.push_back({part.offset + at, part.into.data() + at,
                           std::min(kPieceBytes, part.into.size() - at),
                           std::min(kPieceBytes, part.wanted - at), 0});
      }
    }
  }

  void prepare(int fd, Piece& piece) {
    io_uring_sqe* entry = ::io_uring_get_sqe(ring_.get());  // there is one: the queue is kDepth deep
    const auto size = static_cast<unsigned>(piece.size);
    if (const int buffer = registered_index(piece); buffer >= 0) {
      ::io_uring_prep_read_fixed(entry, fd, piece.into, size, piece.offset, buffer);
    } else {
      ::io_uring_prep_read(entry, fd, piece.into, size, piece.offset);
    }
    ::io_uring_sqe_set_data(entry, &piece);
    ++prepared_;
  }

  int registered_index(const Piece& piece) const noexcept {
    for (size_t i = 0; i < registered_.size(); ++i) {
      const auto* begin = static_cast<const std::byte*>(registered_[i].iov_base);
      if (piece.into >= begin && piece.into + piece.size <= begin + registered_[i].iov_len) {
        return static_cast<int>(i);
      }
    }
    return -1;
  }

  // What the kernel will not take now (no memory, say) never starts; the ring is not used again then.
  void submit_and_wait() noexcept {
    const int submitted = prepared_ > 0 ? ::io_uring_submit_and_wait(ring_.get(), 1) : wait();
    if (submitted >= 0) {
      in_flight_ += static_cast<unsigned>(submitted);
      prepared_ -= static_cast<unsigned>(submitted);
    } else if (submitted != -EINTR && submitted != -EAGAIN && submitted != -EBUSY) {
      prepared_ = 0;
      broken_ = true;
    }
  }

  int wait() noexcept {
    io_uring_cqe* entry = nullptr;
    const int status = ::io_uring_wait_cqe(ring_.get(), &entry);
    return std::min(status, 0);
  }

  // Did any fail?
  bool reap() noexcept {
    bool failed = false;
    unsigned count = 0;
    unsigned head = 0;
    io_uring_cqe* entry = nullptr;
    io_uring_for_each_cqe(ring_.get(), head, entry) {
      static_cast<Piece*>(::io_uring_cqe_get_data(entry))->result = entry->res;
      failed = failed || entry->res < 0;
      ++count;
    }
    ::io_uring_cq_advance(ring_.get(), count);
    in_flight_ -= count;
    return failed;
  }

  // Short reads in the middle of a file are legal and rare: the rest comes by pread.
  void finish(size_t file) {
    for (const Piece& piece : pieces_) {
      if (piece.result < 0 && piece.result != -EINTR && piece.result != -EAGAIN) {
        throw errno_error("cannot read " + files_.path(file).string(), static_cast<int>(-piece.result));
      }
      const auto done = static_cast<uint64_t>(std::max<int64_t>(piece.result, 0));
      if (done < piece.wanted) read_rest(file, piece, done - done % kDirectIoAlignment);
    }
  }

  void read_rest(size_t file, const Piece& piece, uint64_t done) const {
    const auto reader = make_pread_reader(files_, {});
    const ReadPart rest{piece.offset + done, {piece.into + done, piece.size - done}, piece.wanted - done};
    reader->read(file, std::span(&rest, 1));
  }

  const ReadFiles& files_;
  Ring ring_;
  std::vector<iovec> registered_;
  std::vector<Piece> pieces_;
  unsigned prepared_ = 0;   // in the queue, not yet the kernel's
  unsigned in_flight_ = 0;  // the kernel's
  bool broken_ = false;     // everything goes by pread
};

}  // namespace

std::unique_ptr<FileReader> make_uring_reader(const ReadFiles& files, ReaderMemory memory) {
  if (!files.all_direct()) return nullptr;
  auto reader = std::make_unique<UringReader>(files, memory);
  return reader->usable() ? std::move(reader) : nullptr;
}

}  // namespace mach
