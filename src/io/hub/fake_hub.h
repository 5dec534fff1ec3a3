// A hub for tests on the loopback address: serves repositories from memory over HTTP/1.1, with ranges, redirects and
// faults on demand. One thread per connection, one request per connection.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"

namespace mach::testing {

struct FakeRequest {
  std::string path;                            // with query
  std::map<std::string, std::string> headers;  // names in lower case
  int64_t range_begin = -1;
  int64_t range_end = -1;  // inclusive
};

struct FakeResponse {
  int status = 200;
  std::map<std::string, std::string> headers;
  std::string body;
  int64_t cut_after = -1;  // closes the connection after so many body bytes
};

class FakeHub {
 public:
  using Handler = std::function<FakeResponse(const FakeRequest&)>;

  explicit FakeHub(Handler handler);
  FakeHub(const FakeHub&) = delete;
  FakeHub& operator=(const FakeHub&) = delete;
  ~FakeHub();

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  uint32_t requests() const { return requests_; }

 private:
  void accept_loop();
  void serve(Fd connection);

  Handler handler_;
  Fd listener_;
  uint16_t port_ = 0;
  std::atomic<bool> stop_{false};
  std::atomic<uint32_t> requests_{0};
  std::mutex mutex_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

// The part of `body` that the request asks for as 206, or all of it as 200.
FakeResponse ranged(const FakeRequest& request, const std::string& body);

}  // namespace mach::testing
