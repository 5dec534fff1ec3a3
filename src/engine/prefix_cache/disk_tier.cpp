#include "engine/prefix_cache/disk_tier.h"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <xxhash.h>

#include "mach/error.h"

#include "base/mapped_file.h"

namespace mach {
namespace {

constexpr size_t kWindowBytes = size_t{1} << 20;

constexpr size_t kMaxPendingWrites = 8;
constexpr std::chrono::hours kAbandonedAfter{1};  // a temporary file that a crash left behind

int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string file_name(const ModelIdentity& identity, std::span<const TokenId> tokens) {
  const XXH128_hash_t key = XXH3_128bits_withSeed(tokens.data(), tokens.size_bytes(), identity.low);
  return fmt::format("{:016x}{:016x}{}", key.high64 ^ identity.high, key.low64, kStateFileSuffix);
}

void remove_quietly(const std::filesystem::path& path) {
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
}

bool is_abandoned(const std::filesystem::directory_entry& entry) {
  const std::string name = entry.path().filename().string();
  if (!name.starts_with('.') || name.find(kStateFileSuffix) == std::string::npos) return false;
  std::error_code error;
  const auto written = entry.last_write_time(error);
  return !error && std::filesystem::file_time_type::clock::now() - written > kAbandonedAfter;
}

}  // namespace

DiskTier::DiskTier(Options options, Logger log)
    : options_(std::move(options)), log_(std::move(log)), window_(kWindowBytes) {
  std::fill_n(window_.data(), window_.size(), std::byte{0});
  std::error_code error;
  std::filesystem::create_directories(options_.folder, error);
  if (error) {
    throw Error(ErrorCode::kIo, options_.folder.string() + ": cannot be made: " + error.message());
  }
  scan();
  make_room(0);
  writer_ = std::thread([this] { run(); });
}

DiskTier::~DiskTier() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  writer_.join();
}

void DiskTier::scan() {
  std::error_code error;
  std::filesystem::directory_iterator entry(options_.folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::filesystem::path& path = entry->path();
    if (is_abandoned(*entry)) remove_quietly(path);
    if (path.extension() != kStateFileSuffix || path.filename().string().starts_with('.')) continue;
    try {
      const MappedFile file = MappedFile::open(path);
      StateFileHeader header = parse_state_file(file.bytes(), file.bytes().size(), path.string());
      const auto tokens = static_cast<uint32_t>(header.tokens.size());
      const FileId id = files_.add({path, file.bytes().size(), tokens, header.use});
      if (header.identity == options_.identity) {
        saved_.push_back({id, std::move(header.tokens), header.truncatable_to});
      }
    } catch (const Error& e) {
      ++errors_;
      log_.warning("event=disk_prefix_removed error=\"{}\"", e.what());
      remove_quietly(path);
    }
  }
  if (error) throw Error(ErrorCode::kIo, options_.folder.string() + ": cannot be read: " + error.message());
}

std::optional<FileId> DiskTier::write(std::vector<TokenId> tokens,
                                      std::shared_ptr<const StateSnapshot> snapshot, uint64_t bytes) {
  if (pending_.size() >= kMaxPendingWrites || bytes > options_.budget) return std::nullopt;
  Job job;
  job.path = options_.folder / file_name(options_.identity, tokens);
  const auto is_it = [&](const auto& pending) { return pending.second == job.path; };
  if (std::any_of(pending_.begin(), pending_.end(), is_it)) return std::nullopt;
  job.use.last_used = unix_now();
  job.id = files_.add({job.path, bytes, static_cast<uint32_t>(tokens.size()), job.use});
  job.tokens = std::move(tokens);
  job.snapshot = std::move(snapshot);
  const FileId id = job.id;
  pending_.emplace(id, job.path);
  make_room(id);
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  changed_.notify_all();
  return id;
}

void DiskTier::read(FileId id, std::span<const TokenId> tokens, SequenceState& state) {
  const std::filesystem::path path = files_.at(id).path;
  try {
    read_state_file(path, options_.identity, tokens, window_.bytes(), state);
  } catch (...) {
    ++errors_;
    remove(id);
    throw;
  }
  files_.hit(id, unix_now());
  try {
    write_file_use(path, files_.at(id).use);
  } catch (const Error& e) {
    log_.debug("event=disk_prefix_use_not_written error=\"{}\"", e.what());  // costs it some of its value
  }
}

// A file that is being written is removed in collect().
void DiskTier::remove(FileId id) {
  if (!files_.contains(id)) return;
  if (!pending_.contains(id)) remove_quietly(files_.at(id).path);
  files_.remove(id);
}

void DiskTier::make_room(FileId spare) {
  const int64_t now = unix_now();
  while (files_.bytes() > options_.budget) {
    const auto victim = files_.least_valuable(now, spare);
    if (!victim) return;
    remove(*victim);
    gone_.push_back(*victim);
    ++evictions_;
  }
}

DiskTier::Changes DiskTier::collect() {
  std::deque<Job> done;
  {
    const std::lock_guard lock(mutex_);
    done.swap(done_);
  }
  Changes changes;
  for (const Job& job : done) {
    pending_.erase(job.id);
    if (job.bytes == 0) {
      ++errors_;
      files_.remove(job.id);
      gone_.push_back(job.id);
    } else if (!files_.contains(job.id)) {
      remove_quietly(job.path);  // evicted meanwhile
    } else {
      ++writes_;
      files_.set_bytes(job.id, job.bytes);
      changes.written.push_back(job.id);
    }
  }
  if (!done.empty()) make_room(0);
  changes.gone = std::exchange(gone_, {});
  return changes;
}

void DiskTier::flush() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return jobs_.empty(); });
}

void DiskTier::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    Job& job = jobs_.front();  // stays where it is: others only append
    lock.unlock();
    perform(job);
    lock.lock();
    done_.push_back(std::move(job));
    jobs_.pop_front();
    changed_.notify_all();
  }
}

// The state that it fills for saving is let go of here, but never the last to hold a block: the job's snapshot does.
void DiskTier::perform(Job& job) noexcept {
  try {
    const auto state = options_.new_state();
    state->restore(*job.snapshot);
    job.bytes = write_state_file(job.path, options_.identity, job.use, job.tokens,
                                 job.snapshot->truncatable_to(), *state);
  } catch (const std::exception& e) {
    log_.warning("event=disk_prefix_not_written error=\"{}\"", e.what());
  }
}

}  // namespace mach
