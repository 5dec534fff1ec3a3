// A TCP client for tests of servers: says exactly what it is told to, well-formed or not, and reads with a limit.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace mach::testing {

class TcpClient {
 public:
  using Milliseconds = std::chrono::milliseconds;
  static constexpr Milliseconds kLimit{20'000};

  // Connects to 127.0.0.1. receive_buffer: bytes the kernel may hold unread, 0 for its default. Throws std::system_error.
  explicit TcpClient(uint16_t port, int receive_buffer = 0);
  TcpClient(const TcpClient&) = delete;
  TcpClient& operator=(const TcpClient&) = delete;
  ~TcpClient();

  // False when the server does not take it.
  bool send(std::string_view data);
  void shutdown_send();
  void reset();  // closes so that the server sees an error rather than an end

  // Reads on until what was read since the last call contains `text`, and returns that; without it when the connection
  // ends or time is up.
  std::string read_until(std::string_view text, Milliseconds limit = kLimit);
  // To the end of the connection.
  std::string read_all(Milliseconds limit = kLimit);
  bool ended() const noexcept { return ended_; }

  // One answer of known length or in chunks: status line, headers, and the body put together.
  struct Answer {
    int status = 0;
    std::string head;
    std::string body;
  };
  Answer read_answer(Milliseconds limit = kLimit);

 private:
  bool more(std::chrono::steady_clock::time_point deadline);

  int fd_ = -1;
  bool ended_ = false;
  std::string buffer_;  // read, not yet returned
};

// "POST /path HTTP/1.1" with a body and what else it needs.
std::string http_post(std::string_view path, std::string_view body, std::string_view more_headers = "");
std::string http_get(std::string_view path, std::string_view more_headers = "");

}  // namespace mach::testing
