#include "io/hub/fake_hub.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace mach::testing {
namespace {

bool send_all(int fd, const std::string& data) {
  for (size_t at = 0; at < data.size();) {
    const ssize_t sent = ::send(fd, data.data() + at, data.size() - at, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    at += static_cast<size_t>(sent);
  }
  return true;
}

FakeRequest parse(const std::string& text) {
  FakeRequest request;
  std::istringstream lines(text);
  std::string line;
  std::getline(lines, line);
  const size_t begin = line.find(' ') + 1;
  request.path = line.substr(begin, line.find(' ', begin) - begin);
  while (std::getline(lines, line) && line.size() > 1) {
    const size_t colon = line.find(':');
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    request.headers[name] = line.substr(colon + 2, line.size() - colon - 3);
  }
  const auto range = request.headers.find("range");
  if (range != request.headers.end()) {
    request.range_begin = std::atoll(range->second.c_str() + 6);
    const size_t dash = range->second.find('-');
    if (dash + 1 < range->second.size()) request.range_end = std::atoll(range->second.c_str() + dash + 1);
  }
  return request;
}

}  // namespace

FakeResponse ranged(const FakeRequest& request, const std::string& body) {
  FakeResponse response;
  if (request.range_begin < 0) {
    response.body = body;
    return response;
  }
  response.status = 206;
  response.body = body.substr(static_cast<size_t>(request.range_begin));
  if (request.range_end >= 0)
    response.body.resize(std::min<size_t>(response.body.size(),
                                          static_cast<size_t>(request.range_end - request.range_begin + 1)));
  response.headers["Content-Range"] = "bytes " + std::to_string(request.range_begin) + "-" +
                                      std::to_string(request.range_begin + response.body.size() - 1) + "/" +
                                      std::to_string(body.size());
  return response;
}

FakeHub::FakeHub(Handler handler) : handler_(std::move(handler)) {
  listener_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener_.get(), 64) != 0 ||
      ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("cannot listen on the loopback address");
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_loop(); });
}

FakeHub::~FakeHub() {
  stop_ = true;
  acceptor_.join();
  for (std::thread& thread : threads_) thread.join();
}

void FakeHub::accept_loop() {
  while (!stop_) {
    pollfd waiting{listener_.get(), POLLIN, 0};
    if (::poll(&waiting, 1, 20) <= 0) continue;
    const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    const std::lock_guard lock(mutex_);
    threads_.emplace_back([this, fd] { serve(Fd(fd)); });
  }
}

void FakeHub::serve(Fd connection) {
  std::string text;
  char buffer[4096];
  while (text.find("\r\n\r\n") == std::string::npos) {
    const ssize_t got = ::recv(connection.get(), buffer, sizeof(buffer), 0);
    if (got <= 0) return;
    text.append(buffer, static_cast<size_t>(got));
  }
  ++requests_;
  const FakeResponse response = handler_(parse(text));
  std::string head =
      "HTTP/1.1 " + std::to_string(response.status) +
      " Status\r\nConnection: close\r\nContent-Length: " + std::to_string(response.body.size()) + "\r\n";
  for (const auto& [name, value] : response.headers) head += name + ": " + value + "\r\n";
  if (!send_all(connection.get(), head + "\r\n")) return;
  send_all(connection.get(), response.cut_after < 0
                                 ? response.body
                                 : response.body.substr(0, static_cast<size_t>(response.cut_after)));
}

}  // namespace mach::testing
