// HTTP as handlers see it: a whole request comes in, a Reply goes out that the connection pulls when it can write. No
// sockets and no threads here, so handlers are tested without either; http_server.h is the only part that knows the wire.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mach::server {

using Clock = std::chrono::steady_clock;

struct HttpHeader {
  std::string name;
  std::string value;
};

struct HttpRequest {
  std::string method;  // as sent: "GET"
  std::string path;    // of the target, without the query; percent escapes as sent
  std::vector<HttpHeader> headers;
  std::string body;
  std::string peer;  // "127.0.0.1:50312"
  std::string id;    // of this request, for log lines and X-Request-Id

  // The first header of that name, in any case; null if there is none.
  const std::string* header(std::string_view name) const noexcept;
};

struct ResponseHead {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<HttpHeader> headers;
};

struct ReplyPart {
  std::optional<ResponseHead> head;  // in the first part that has anything
  std::string body;
  bool last =
      false;  // a head that comes with the last part makes an answer of known length, else one in chunks
};

// The answer to one request. start(), pull() and the destructor are called on the connection's thread, one at a time.
// Destroyed before its last part: the client is gone, and the work it stands for stops.
class Reply {
 public:
  virtual ~Reply() = default;

  // `wake` asks for a pull; it may be called from any thread, also after the Reply is gone.
  virtual void start(std::function<void()> wake) = 0;

  // All there is by now; often nothing. Must not throw.
  virtual ReplyPart pull(Clock::time_point now) noexcept = 0;

  // When to pull although nothing happened, for what goes by the clock.
  virtual std::optional<Clock::time_point> next_pull() const noexcept = 0;

  // The server is going down: end soon, with a valid end.
  virtual void end_early() noexcept {}
};

// An answer that is complete.
std::unique_ptr<Reply> whole_reply(ResponseHead head, std::string body);
std::unique_ptr<Reply> whole_reply(int status, std::string json);

// ASCII letters of either case are the same.
bool same_name(std::string_view a, std::string_view b) noexcept;

}  // namespace mach::server
