#include "io/hub/hub_download.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <fnmatch.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "mach/error.h"

#include "base/fd.h"
#include "base/file.h"
#include "io/hub/content_hash.h"

namespace mach {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxResumes = 8;               // of one file after broken transfers
constexpr uint64_t kSpareBytes = 64U << 20;  // left free on the disk
constexpr std::chrono::milliseconds kProgressInterval{200};

// Root-level weights, configs, tokenizer and templates, and the sidecar. Copies in other names (consolidated*,
// original/, metal/) are left out.
constexpr std::array kDefaultInclude = {"config.json",       "generation_config.json",
                                        "tokenizer*.json",   "special_tokens_map.json",
                                        "chat_template*",    "model*.safetensors",
                                        "model*.index.json", "preprocessor_config.json",
                                        "expert_sidecar/*",  "README.md",
                                        "LICENSE*"};

bool matches(const std::string& path, const std::vector<std::string>& include) {
  if (include.empty()) {
    return std::any_of(kDefaultInclude.begin(), kDefaultInclude.end(), [&](const char* pattern) {
      return ::fnmatch(pattern, path.c_str(), FNM_PATHNAME) == 0;
    });
  }
  return std::any_of(include.begin(), include.end(), [&](const std::string& pattern) {
    return ::fnmatch(pattern.c_str(), path.c_str(), 0) == 0;
  });
}

uint64_t size_or_zero(const fs::path& path) {
  std::error_code error;
  const uint64_t size = fs::file_size(path, error);
  return error ? 0 : size;
}

void make_folders(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw Error(ErrorCode::kIo, "cannot create " + path.string() + ": " + error.message());
}

struct BlobPaths {
  fs::path whole, incomplete, lock;
  BlobPaths(const fs::path& repository, const HubFile& file)
      : whole(repository / "blobs" / file.etag),
        incomplete(repository / "blobs" / (file.etag + ".incomplete")),
        lock(repository.parent_path() / ".locks" / repository.filename() / (file.etag + ".lock")) {}
};

// Held while one blob is downloaded; ends with the descriptor, so a killed process leaves none.
Fd lock_blob(const fs::path& path, const HttpClient::Cancelled& cancelled) {
  make_folders(path.parent_path());
  Fd fd = open_file(path, O_RDWR | O_CREAT);
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      throw Error(ErrorCode::kIo, "cannot lock " + path.string() + ": " + std::strerror(errno));
    }
    if (cancelled && cancelled()) throw Error(ErrorCode::kCancelled, "stopped while another download runs");
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return fd;
}

void sync_file(const Fd& fd, const fs::path& path) {
  if (::fsync(fd.get()) != 0) {
    throw Error(ErrorCode::kIo, "cannot flush " + path.string() + ": " + std::strerror(errno));
  }
}

std::string hash_of(const fs::path& path, const HubFile& file) {
  ContentHash hash = file.lfs() ? ContentHash::sha256() : ContentHash::git_blob(file.size);
  const Fd fd = open_file(path, O_RDONLY);
  std::vector<std::byte> buffer(1U << 20);
  for (uint64_t at = 0; at < file.size;) {
    const size_t size = std::min<uint64_t>(buffer.size(), file.size - at);
    read_exactly(fd, at, std::span(buffer).first(size), path);
    hash.update(std::span(buffer).first(size));
    at += size;
  }
  return hash.finish();
}

// Appends what is missing of one file to its .incomplete. `have` is what of it is on disk, for the progress display.
class BlobFetch {
 public:
  BlobFetch(HubClient& client, const HubDownloadPlan& plan, const HubFile& file, std::atomic<uint64_t>& have)
      : client_(client), plan_(plan), file_(file), paths_(plan.repository, file), have_(have) {}

  void run(const HttpClient::Cancelled& cancelled) {
    const Fd lock = lock_blob(paths_.lock, cancelled);
    if (fs::exists(paths_.whole)) return;  // another process was faster
    // A wrong hash may come from an old partial file: thrown away once, and then the content itself is wrong.
    for (int attempt = 0;; ++attempt) {
      fetch_all();
      const std::string hash = hash_of(paths_.incomplete, file_);
      if (hash == file_.etag) break;
      have_ = 0;
      fs::remove(paths_.incomplete);
      if (attempt == 1) {
        throw Error(ErrorCode::kCorruptFile, plan_.id.repo + ": " + file_.path + " arrived with hash " +
                                                 hash + ", the hub says " + file_.etag);
      }
    }
    fs::rename(paths_.incomplete, paths_.whole);
  }

 private:
  void fetch_all() {
    Fd out = open_file(paths_.incomplete, O_WRONLY | O_CREAT);
    uint64_t at = file_size(out, paths_.incomplete);
    if (at > file_.size) restart(out, at);
    have_ = at;
    for (int resume = 0; at < file_.size; ++resume) {
      const uint64_t begin = at;
      try {
        fetch_from(out, at);
        if (at < file_.size) throw Error(ErrorCode::kIo, file_.path + ": the body ended early");
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kIo || resume + 1 >= kMaxResumes) throw;
        if (at > begin) resume = 0;  // it moves, if in pieces
      }
    }
    sync_file(out, paths_.incomplete);
  }

  void fetch_from(const Fd& out, uint64_t& at) {
    bool first = true;
    client_.file_bytes(plan_.id, plan_.commit, file_.path, at, file_.size,
                       [&](const HttpResponse& head, std::span<const std::byte> bytes) {
                         if (first && at > 0 && head.status == 200) restart(out, at);  // ignores ranges
                         first = false;
                         if (bytes.size() > file_.size - at) {
                           throw Error(ErrorCode::kCorruptFile, plan_.id.repo + ": " + file_.path +
                                                                    " is longer than the listed " +
                                                                    std::to_string(file_.size) + " bytes");
                         }
                         write_at(out, at, bytes);
                         at += bytes.size();
                         have_ = at;
                       });
  }

  void restart(const Fd& out, uint64_t& at) {
    if (::ftruncate(out.get(), 0) != 0) {
      throw Error(ErrorCode::kIo, "cannot empty " + paths_.incomplete.string() + ": " + std::strerror(errno));
    }
    at = 0;
    have_ = 0;
  }

  void write_at(const Fd& out, uint64_t at, std::span<const std::byte> bytes) const {
    if (::lseek(out.get(), static_cast<off_t>(at), SEEK_SET) < 0) {
      throw Error(ErrorCode::kIo, "cannot seek in " + paths_.incomplete.string());
    }
    write_all(out, bytes, paths_.incomplete);
  }

  HubClient& client_;
  const HubDownloadPlan& plan_;
  const HubFile& file_;
  BlobPaths paths_;
  std::atomic<uint64_t>& have_;
};

void link_into_snapshot(const HubDownloadPlan& plan, const HubFile& file) {
  const fs::path link = plan.snapshot() / file.path;
  make_folders(link.parent_path());
  fs::path target = "../..";
  for (const char c : file.path) {
    if (c == '/') target /= "..";
  }
  target = target / "blobs" / file.etag;
  std::error_code error;
  if (fs::is_symlink(link) && fs::read_symlink(link, error) == target) return;
  const fs::path temporary = link.string() + ".new";
  fs::remove(temporary, error);
  fs::create_symlink(target, temporary, error);
  if (!error) fs::rename(temporary, link, error);
  if (error) throw Error(ErrorCode::kIo, "cannot link " + link.string() + ": " + error.message());
}

void check_disk_space(const HubDownloadPlan& plan) {
  struct statvfs disk {};
  if (::statvfs(plan.repository.c_str(), &disk) != 0) return;  // the write itself will tell
  const uint64_t free = uint64_t{disk.f_bavail} * disk.f_frsize;
  if (plan.missing_bytes + kSpareBytes > free) {
    throw Error(ErrorCode::kOutOfBudget, plan.id.repo + " needs " + std::to_string(plan.missing_bytes) +
                                             " more bytes in " + plan.repository.parent_path().string() +
                                             ", where " + std::to_string(free) + " are free");
  }
}

// The files still to do, taken by several threads; the first failure stops the others.
class Workers {
 public:
  Workers(const HubSettings& settings, const HubDownloadPlan& plan, const HubDownloadOptions& options)
      : settings_(settings), plan_(plan), options_(options), have_(plan.files.size()) {}

  void run() {
    const size_t count = std::clamp<size_t>(options_.parallel, 1, std::max<size_t>(plan_.files.size(), 1));
    std::vector<std::thread> threads;
    running_ = count;
    for (size_t i = 0; i < count; ++i) threads.emplace_back([this] { work(); });
    report_until_finished();
    for (std::thread& thread : threads) thread.join();
    report();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  bool stopped() const { return failed_.load() || (options_.cancelled && options_.cancelled()); }

  void work() noexcept {
    try {
      const HttpClient::Cancelled cancelled = [this] { return stopped(); };
      HubClient client(settings_, cancelled);
      for (size_t i = next_++; i < plan_.files.size(); i = next_++) {
        if (stopped()) throw Error(ErrorCode::kCancelled, "download of " + plan_.id.repo + " stopped");
        const BlobPaths paths(plan_.repository, plan_.files[i]);
        if (!fs::exists(paths.whole)) BlobFetch(client, plan_, plan_.files[i], have_[i]).run(cancelled);
        have_[i] = plan_.files[i].size;
        link_into_snapshot(plan_, plan_.files[i]);
        ++files_done_;
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      failed_ = true;
    }
    const std::lock_guard lock(mutex_);
    --running_;
    finished_.notify_all();
  }

  void report_until_finished() {
    std::unique_lock lock(mutex_);
    while (!finished_.wait_for(lock, kProgressInterval, [this] { return running_ == 0; })) {
      lock.unlock();
      report();
      lock.lock();
    }
  }

  void report() const {
    if (!options_.progress) return;
    uint64_t bytes = 0;
    for (const std::atomic<uint64_t>& have : have_) bytes += have.load();
    options_.progress({bytes, files_done_.load()});
  }

  const HubSettings& settings_;
  const HubDownloadPlan& plan_;
  const HubDownloadOptions& options_;
  std::vector<std::atomic<uint64_t>> have_;  // [files] bytes on disk
  std::atomic<uint32_t> files_done_{0};
  std::atomic<size_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::condition_variable finished_;
  size_t running_ = 0;
  std::exception_ptr failure_;
};

}  // namespace

HubDownloadPlan plan_hub_download(HubClient& client, const HubModelId& id, const fs::path& cache_root,
                                  const std::vector<std::string>& include) {
  HubRepository repository = client.repository(id);
  HubDownloadPlan plan;
  plan.id = id;
  plan.commit = repository.commit;
  plan.repository = cache_root / id.folder_name();
  std::copy_if(repository.files.begin(), repository.files.end(), std::back_inserter(plan.files),
               [&](const HubFile& file) { return matches(file.path, include); });
  if (plan.files.empty()) {
    throw Error(ErrorCode::kNotFound, id.repo + ": none of its " + std::to_string(repository.files.size()) +
                                          " files matches " +
                                          (include.empty() ? "what mach reads" : "--include"));
  }
  std::sort(plan.files.begin(), plan.files.end(), [](const HubFile& a, const HubFile& b) {
    return a.size != b.size ? a.size > b.size : a.path < b.path;
  });
  for (const HubFile& file : plan.files) {
    const BlobPaths paths(plan.repository, file);
    plan.total_bytes += file.size;
    if (fs::exists(paths.whole)) continue;
    const uint64_t partial = size_or_zero(paths.incomplete);
    plan.missing_bytes += partial <= file.size ? file.size - partial : file.size;
  }
  return plan;
}

fs::path download_hub_files(const HubSettings& settings, const HubDownloadPlan& plan,
                            const HubDownloadOptions& options) {
  make_folders(plan.repository / "blobs");
  check_disk_space(plan);
  Workers(settings, plan, options).run();
  if (plan.id.revision != plan.commit) {
    const fs::path ref = plan.repository / "refs" / plan.id.revision;
    make_folders(ref.parent_path());
    write_file_atomically(ref, plan.commit);
  }
  return plan.snapshot();
}

uint64_t remove_hub_repository(const HubModelId& id, const fs::path& cache_root) {
  const fs::path repository = cache_root / id.folder_name();
  std::error_code error;
  if (!fs::is_directory(repository, error)) {
    throw Error(ErrorCode::kNotFound, id.repo + " is not in " + cache_root.string());
  }
  uint64_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(repository)) {
    if (entry.is_regular_file() && !entry.is_symlink()) bytes += entry.file_size();
  }
  const fs::path doomed = cache_root / (".deleted-" + id.folder_name() + "-" + std::to_string(::getpid()));
  fs::rename(repository, doomed, error);
  if (!error) fs::remove_all(doomed, error);
  if (error) throw Error(ErrorCode::kIo, "cannot remove " + repository.string() + ": " + error.message());
  fs::remove_all(cache_root / ".locks" / id.folder_name(), error);
  return bytes;
}

}  // namespace mach
