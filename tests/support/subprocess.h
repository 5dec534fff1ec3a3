// Runs a program as a test sees it: arguments in, exit status and both outputs out. Every wait has a limit; a program
// that exceeds it is killed and the wait throws, so a hanging program fails its test instead of the whole run.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace mach::testing {

struct ProcessResult {
  int status = -1;  // exit status; 128 + signal number where a signal ended it
  std::string out, err;
};

class Subprocess {
 public:
  using Environment = std::vector<std::pair<std::string, std::string>>;  // added to the test's own
  static constexpr std::chrono::seconds kLimit{60};

  // arguments[0] is the program's path. Throws std::system_error.
  explicit Subprocess(const std::vector<std::string>& arguments, const Environment& extra = {});
  Subprocess(const Subprocess&) = delete;
  Subprocess& operator=(const Subprocess&) = delete;
  ~Subprocess();  // kills it if it still runs

  void send_signal(int number);
  // Reads until standard output contains `text`; false when it ended without.
  bool wait_for_output(std::string_view text, std::chrono::milliseconds limit = kLimit);
  pid_t pid() const noexcept { return pid_; }
  const std::string& output() const noexcept { return result_.out; }  // read so far
  // Feeds `input`, closes standard input, collects the rest. Once.
  ProcessResult finish(std::string_view input = "", std::chrono::milliseconds limit = kLimit);

 private:
  void pump(std::chrono::steady_clock::time_point deadline);
  bool reads() const noexcept { return out_ >= 0 || err_ >= 0; }

  pid_t pid_ = -1;
  int in_ = -1, out_ = -1, err_ = -1;
  std::string input_;
  ProcessResult result_;
};

ProcessResult run_program(const std::vector<std::string>& arguments, std::string_view input = "",
                          const Subprocess::Environment& extra = {});

}  // namespace mach::testing
