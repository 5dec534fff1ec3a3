// The prefix cache's second level: saved states in a folder that survive the process. States are written by a thread of its
// own, from snapshots, so the engine does not wait for the device; they are read in the engine thread, because what waits
// for them could do nothing else, and a read costs about as much as a chunk of the prompt.
//
// Everything is called by one thread, the engine's. A snapshot handed to write() is released there as well (in collect()):
// caches decide by reference counts whether they may write into a block, which is only safe in one thread.
//
// Several processes may use one folder: files appear by rename, and one that is gone or damaged is a miss.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/log.h"
#include "engine/prefix_cache/disk_files.h"
#include "engine/prefix_cache/model_identity.h"
#include "model/sequence_state.h"

namespace mach {

class DiskTier {
 public:
  struct Options {
    std::filesystem::path folder;  // made if it is not there
    uint64_t budget = 0;           // bytes of all files in it, those of other models included
    ModelIdentity identity;
    std::function<std::unique_ptr<SequenceState>()> new_state;  // called by both threads
  };
  struct Saved {
    FileId id = 0;
    std::vector<TokenId> tokens;
    uint32_t truncatable_to = 0;
  };

  // Reads the headers of all files in the folder; those that are damaged go. Throws Error{kIo} if the folder cannot be
  // used.
  DiskTier(Options options, Logger log);
  DiskTier(const DiskTier&) = delete;
  DiskTier& operator=(const DiskTier&) = delete;
  // Waits for what is being written.
  ~DiskTier();

  // What the folder held of this model when it was opened; once.
  std::vector<Saved> take_saved() { return std::move(saved_); }

  // Writes the snapshot of these tokens, later. Empty when the writer is behind (flush() and collect() help) or the state
  // exceeds the budget.
  // `bytes`: about the size of the state.
  std::optional<FileId> write(std::vector<TokenId> tokens, std::shared_ptr<const StateSnapshot> snapshot,
                              uint64_t bytes);

  // False while the file is being written.
  bool readable(FileId id) const { return files_.contains(id) && !pending_.contains(id); }
  // Throws what read_state_file() throws; the file is then removed.
  void read(FileId id, std::span<const TokenId> tokens, SequenceState& state);
  void remove(FileId id);

  struct Changes {
    std::vector<FileId> written;
    std::vector<FileId> gone;  // by eviction or failure
  };
  // Takes note of what has been written and keeps to the budget.
  Changes collect();

  // Waits until everything handed over is on the device.
  void flush();

  uint64_t bytes() const noexcept { return files_.bytes(); }
  uint32_t count() const noexcept { return static_cast<uint32_t>(files_.count()); }
  uint64_t writes() const noexcept { return writes_; }
  uint64_t evictions() const noexcept { return evictions_; }
  uint64_t errors() const noexcept { return errors_; }

 private:
  struct Job {
    FileId id = 0;
    std::filesystem::path path;
    std::vector<TokenId> tokens;
    std::shared_ptr<const StateSnapshot> snapshot;
    FileUse use;
    uint64_t bytes = 0;  // result; 0: failed
  };

  void scan();
  void make_room(FileId spare);
  void run();
  void perform(Job& job) noexcept;

  const Options options_;
  Logger log_;
  AlignedBuffer window_;  // that files are read through; touched from the start
  DiskFiles files_;
  std::vector<Saved> saved_;
  std::vector<FileId> gone_;  // since the last collect()
  std::map<FileId, std::filesystem::path> pending_;
  uint64_t writes_ = 0;
  uint64_t evictions_ = 0;
  uint64_t errors_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;  // to be done; the first one may be under way
  std::deque<Job> done_;
  bool stop_ = false;
  std::thread writer_;
};

}  // namespace mach
