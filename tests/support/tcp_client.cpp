#include "support/tcp_client.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace mach::testing {
namespace {

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

}  // namespace

TcpClient::TcpClient(uint16_t port, int receive_buffer) {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0) fail("socket");
  if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("connect");
}

TcpClient::~TcpClient() {
  if (fd_ >= 0) ::close(fd_);
}

bool TcpClient::send(std::string_view data) {
  while (!data.empty()) {
    const ssize_t count = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
    if (count < 0) return false;
    data.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

void TcpClient::shutdown_send() { ::shutdown(fd_, SHUT_WR); }

void TcpClient::reset() {
  const linger at_once{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  ::close(fd_);
  fd_ = -1;
  ended_ = true;
}

bool TcpClient::more(std::chrono::steady_clock::time_point deadline) {
  if (ended_) return false;
  const auto left = std::chrono::ceil<Milliseconds>(deadline - std::chrono::steady_clock::now());
  pollfd state{fd_, POLLIN, 0};
  if (left.count() <= 0 || ::poll(&state, 1, static_cast<int>(left.count())) <= 0) return false;
  std::array<char, 65536> block;
  const ssize_t count = ::recv(fd_, block.data(), block.size(), 0);
  ended_ = count <= 0;
  if (count > 0) buffer_.append(block.data(), static_cast<size_t>(count));
  return count > 0;
}

std::string TcpClient::read_until(std::string_view text, Milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  size_t found = 0;
  while ((found = buffer_.find(text)) == std::string::npos) {
    if (!more(deadline)) return std::exchange(buffer_, {});
  }
  std::string result = buffer_.substr(0, found + text.size());
  buffer_.erase(0, result.size());
  return result;
}

std::string TcpClient::read_all(Milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (more(deadline)) {
  }
  return std::exchange(buffer_, {});
}

TcpClient::Answer TcpClient::read_answer(Milliseconds limit) {
  Answer answer;
  answer.head = read_until("\r\n\r\n", limit);
  if (answer.head.size() > 12) answer.status = std::atoi(answer.head.c_str() + 9);
  const auto deadline = std::chrono::steady_clock::now() + limit;
  if (const size_t at = answer.head.find("Content-Length: "); at != std::string::npos) {
    const size_t length = std::strtoul(answer.head.c_str() + at + 16, nullptr, 10);
    while (buffer_.size() < length && more(deadline)) {
    }
    answer.body = buffer_.substr(0, length);
    buffer_.erase(0, answer.body.size());
    return answer;
  }
  if (answer.head.find("chunked") == std::string::npos) {
    answer.body = read_all(limit);
    return answer;
  }
  while (true) {
    const std::string line = read_until("\r\n", limit);
    const size_t length = std::strtoul(line.c_str(), nullptr, 16);
    while (buffer_.size() < length + 2 && more(deadline)) {
    }
    answer.body += buffer_.substr(0, length);
    buffer_.erase(0, length + 2);
    if (length == 0) return answer;
  }
}

std::string http_post(std::string_view path, std::string_view body, std::string_view more_headers) {
  std::string text = "POST ";
  text.append(path).append(
      " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ");
  text.append(std::to_string(body.size())).append("\r\n").append(more_headers).append("\r\n").append(body);
  return text;
}

std::string http_get(std::string_view path, std::string_view more_headers) {
  std::string text = "GET ";
  return text.append(path).append(" HTTP/1.1\r\nHost: localhost\r\n").append(more_headers).append("\r\n");
}

}  // namespace mach::testing
