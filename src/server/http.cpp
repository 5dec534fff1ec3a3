#include "server/http.h"

#include <algorithm>

namespace mach::server {
namespace {

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

class WholeReply final : public Reply {
 public:
  WholeReply(ResponseHead head, std::string body) : part_{std::move(head), std::move(body), true} {}

  void start(std::function<void()> wake) override { wake(); }
  ReplyPart pull(Clock::time_point) noexcept override { return std::exchange(part_, {}); }
  std::optional<Clock::time_point> next_pull() const noexcept override { return std::nullopt; }

 private:
  ReplyPart part_;
};

}  // namespace

bool same_name(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

const std::string* HttpRequest::header(std::string_view name) const noexcept {
  for (const HttpHeader& one : headers) {
    if (same_name(one.name, name)) return &one.value;
  }
  return nullptr;
}

std::unique_ptr<Reply> whole_reply(ResponseHead head, std::string body) {
  return std::make_unique<WholeReply>(std::move(head), std::move(body));
}

std::unique_ptr<Reply> whole_reply(int status, std::string json) {
  ResponseHead head;
  head.status = status;
  return whole_reply(std::move(head), std::move(json));
}

}  // namespace mach::server
