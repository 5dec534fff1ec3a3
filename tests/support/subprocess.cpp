#include "support/subprocess.h"

#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace mach::testing {
namespace {

[[noreturn]] void fail(int error, const char* what) {
  throw std::system_error(error, std::generic_category(), what);
}

void close_end(int& fd) {
  if (fd >= 0) close(fd);
  fd = -1;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  result.reserve(strings.size() + 1);
  for (std::string& s : strings) result.push_back(s.data());
  result.push_back(nullptr);
  return result;
}

// Returns false at the end of the stream.
bool read_some(int fd, std::string& to) {
  std::array<char, 65536> buffer;
  const ssize_t n = read(fd, buffer.data(), buffer.size());
  if (n > 0) to.append(buffer.data(), static_cast<size_t>(n));
  return n > 0 || (n < 0 && errno == EINTR);
}

}  // namespace

Subprocess::Subprocess(const std::vector<std::string>& arguments, const Environment& extra) {
  std::array<std::array<int, 2>, 3> pipes{};
  for (auto& ends : pipes) {
    if (pipe2(ends.data(), O_CLOEXEC) != 0) fail(errno, "pipe2");
  }
  in_ = pipes[0][1];
  out_ = pipes[1][0];
  err_ = pipes[2][0];
  std::array<int, 3> theirs = {pipes[0][0], pipes[1][1], pipes[2][1]};

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (int fd = 0; fd < 3; ++fd)
    posix_spawn_file_actions_adddup2(&actions, theirs[static_cast<size_t>(fd)], fd);

  // A test runner may ignore signals, and that is inherited; a program starts with the usual ones.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t usual;
  sigemptyset(&usual);
  sigaddset(&usual, SIGINT);
  sigaddset(&usual, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &usual);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);

  std::vector<std::string> argument_copy = arguments;
  std::vector<std::string> environment;
  for (const auto& [name, value] : extra) environment.push_back(name + "=" + value);
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    bool replaced = false;
    for (const auto& [name, value] : extra) replaced |= text.starts_with(name + "=");
    if (!replaced) environment.emplace_back(text);
  }
  const int error = posix_spawn(&pid_, arguments.at(0).c_str(), &actions, nullptr,
                                pointers(argument_copy).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  for (int& fd : theirs) close_end(fd);
  if (error != 0) {
    pid_ = -1;
    close_end(in_);
    close_end(out_);
    close_end(err_);
    fail(error, arguments[0].c_str());
  }
  // A program that ends without reading its input must not end the test.
  signal(SIGPIPE, SIG_IGN);
  fcntl(in_, F_SETFL, O_NONBLOCK);
}

Subprocess::~Subprocess() {
  close_end(in_);
  close_end(out_);
  close_end(err_);
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Subprocess::send_signal(int number) { kill(pid_, number); }

// Moves whatever can be moved now, waiting for the first of it.
void Subprocess::pump(std::chrono::steady_clock::time_point deadline) {
  std::array<pollfd, 3> polls = {pollfd{out_, POLLIN, 0}, pollfd{err_, POLLIN, 0},
                                 pollfd{input_.empty() ? -1 : in_, POLLOUT, 0}};
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  if (left.count() <= 0) {
    throw std::runtime_error("the program took too long; output so far:\n" + result_.out +
                             "\nerrors so far:\n" + result_.err);
  }
  if (poll(polls.data(), polls.size(), static_cast<int>(left.count())) < 0 && errno != EINTR)
    fail(errno, "poll");
  if (polls[0].revents != 0 && !read_some(out_, result_.out)) close_end(out_);
  if (polls[1].revents != 0 && !read_some(err_, result_.err)) close_end(err_);
  if (polls[2].revents == 0) return;
  const ssize_t n = write(in_, input_.data(), input_.size());
  if (n > 0) input_.erase(0, static_cast<size_t>(n));
  if (n < 0 && errno != EAGAIN && errno != EINTR) input_.clear();  // it reads no more
}

bool Subprocess::wait_for_output(std::string_view text, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (result_.out.find(text) == std::string::npos) {
    if (out_ < 0) return false;
    pump(deadline);
  }
  return true;
}

ProcessResult Subprocess::finish(std::string_view input, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  input_ = input;
  while (reads()) {
    if (input_.empty()) close_end(in_);
    pump(deadline);
  }
  close_end(in_);
  int status = 0;
  for (pid_t ended = 0; ended == 0;) {
    ended = waitpid(pid_, &status, WNOHANG);
    if (ended < 0 && errno != EINTR) fail(errno, "waitpid");
    if (ended == 0 && std::chrono::steady_clock::now() > deadline) {
      throw std::runtime_error("the program closed its outputs and does not end");
    }
    if (ended == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  pid_ = -1;
  result_.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return std::move(result_);
}

ProcessResult run_program(const std::vector<std::string>& arguments, std::string_view input,
                          const Subprocess::Environment& extra) {
  return Subprocess(arguments, extra).finish(input);
}

}  // namespace mach::testing
