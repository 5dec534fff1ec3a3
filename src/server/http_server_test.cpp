// The wire, with clients that behave and clients that do not, over a handler without a model.
#include "server/http_server.h"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mach/error.h"

#include "support/tcp_client.h"

namespace mach::server {
namespace {

using mach::testing::http_get;
using mach::testing::http_post;
using mach::testing::TcpClient;
using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// What a handler's replies share with the test.
struct Counters {
  std::atomic<int> alive{0};
  std::atomic<int> ended_early{0};
};

// A stream that a thread of its own feeds until it is dropped, like a generation.
class Endless final : public Reply {
 public:
  Endless(Counters& counters, size_t bytes) : counters_(counters), piece_(bytes, 'x') { ++counters_.alive; }
  ~Endless() override {
    {
      const std::scoped_lock lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
    --counters_.alive;
  }
  void start(std::function<void()> wake) override {
    thread_ = std::thread([this, wake = std::move(wake)] {
      std::unique_lock lock(mutex_);
      while (!changed_.wait_for(lock, milliseconds(2), [this] { return stop_; })) wake();
    });
  }
  ReplyPart pull(Clock::time_point) noexcept override {
    ReplyPart part;
    if (!std::exchange(head_sent_, true)) part.head = ResponseHead{200, "text/event-stream", {}};
    part.body = ended_ ? "end" : piece_;
    part.last = ended_;
    return part;
  }
  std::optional<Clock::time_point> next_pull() const noexcept override { return std::nullopt; }
  void end_early() noexcept override {
    ended_ = true;
    ++counters_.ended_early;
  }

 private:
  Counters& counters_;
  const std::string piece_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  bool head_sent_ = false;
  bool ended_ = false;
};

// A head at once, and nothing more until it is dropped.
class Silent final : public Reply {
 public:
  explicit Silent(Counters& counters) : counters_(counters) { ++counters_.alive; }
  ~Silent() override { --counters_.alive; }
  void start(std::function<void()> wake) override { wake(); }
  ReplyPart pull(Clock::time_point) noexcept override {
    ReplyPart part;
    if (!std::exchange(head_sent_, true)) part.head = ResponseHead{200, "text/event-stream", {}};
    return part;
  }
  std::optional<Clock::time_point> next_pull() const noexcept override { return std::nullopt; }

 private:
  Counters& counters_;
  bool head_sent_ = false;
};

class TestHandler final : public HttpHandler {
 public:
  std::unique_ptr<Reply> handle(const HttpRequest& request) noexcept override {
    if (request.path == "/endless") return std::make_unique<Endless>(counters, 1000);
    if (request.path == "/flood") return std::make_unique<Endless>(counters, 1'000'000);
    if (request.path == "/silent") return std::make_unique<Silent>(counters);
    return whole_reply(200, request.method + " " + request.path + " " + request.body);
  }
  std::unique_ptr<Reply> refuse(int status, std::string_view, const std::string& message) noexcept override {
    return whole_reply(status, message);
  }
  Counters counters;
};

class HttpServerTest : public ::testing::Test {
 protected:
  HttpServer& start(HttpServerOptions options = {}) {
    options.port = 0;
    server_ = std::make_unique<HttpServer>(options, handler_, EventLog());
    server_->start();
    return *server_;
  }
  static bool eventually(const std::function<bool()>& condition) {
    const auto deadline = Clock::now() + std::chrono::seconds(10);
    while (Clock::now() < deadline) {
      if (condition()) return true;
      std::this_thread::sleep_for(milliseconds(5));
    }
    return condition();
  }
  bool no_reply_is_left() {
    return eventually([this] { return handler_.counters.alive == 0; });
  }
  bool no_connection_is_left() {
    return eventually([this] { return server_->connections() == 0; });
  }

  TestHandler handler_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, OneConnectionServesManyRequests) {
  TcpClient client(start().port());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.send(http_post("/echo?x=1", "abc")));
    const auto answer = client.read_answer();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "POST /echo abc");
  }
  EXPECT_EQ(server_->connections(), 1U);
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrder) {
  TcpClient client(start().port());
  client.send(http_post("/a", "1") + http_get("/b") + http_post("/c", "3"));
  EXPECT_EQ(client.read_answer().body, "POST /a 1");
  EXPECT_EQ(client.read_answer().body, "GET /b ");
  EXPECT_EQ(client.read_answer().body, "POST /c 3");
}

TEST_F(HttpServerTest, ChunkedBodiesAndSlowWritersAreTaken) {
  TcpClient client(start().port());
  for (const char piece : std::string(
           "POST /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")) {
    ASSERT_TRUE(client.send(std::string_view(&piece, 1)));
  }
  EXPECT_EQ(client.read_answer().body, "POST /slow abc");
}

TEST_F(HttpServerTest, ExpectContinueIsAnsweredBeforeTheBody) {
  TcpClient client(start().port());
  client.send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_THAT(client.read_until("\r\n\r\n"), StartsWith("HTTP/1.1 100"));
  client.send("abc");
  EXPECT_EQ(client.read_answer().body, "POST /x abc");
}

TEST_F(HttpServerTest, Http10GetsAnAnswerWithoutChunksAndAnEnd) {
  TcpClient client(start().port());
  client.send("GET /old HTTP/1.0\r\n\r\n");
  const std::string all = client.read_all();
  EXPECT_THAT(all, HasSubstr("GET /old"));
  EXPECT_THAT(all, Not(HasSubstr("chunked")));
  EXPECT_TRUE(client.ended());
}

TEST_F(HttpServerTest, HeadHasLengthAndNoBody) {
  TcpClient client(start().port());
  client.send("HEAD /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.read_all(), ::testing::EndsWith("\r\n\r\n"));
}

TEST_F(HttpServerTest, OversizedRequestsAreRefusedWithTheirStatus) {
  HttpServerOptions options;
  options.max_body_bytes = 1000;
  options.max_header_bytes = 2000;
  start(options);
  TcpClient announced(server_->port());
  announced.send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n");
  EXPECT_EQ(announced.read_answer().status, 413);
  TcpClient chunked(server_->port());
  chunked.send("POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  chunked.send("7d0\r\n" + std::string(2000, 'x') + "\r\n");
  EXPECT_EQ(chunked.read_answer().status, 413);
  TcpClient headers(server_->port());
  headers.send("GET /x HTTP/1.1\r\nX: " + std::string(5000, 'x'));
  EXPECT_EQ(headers.read_answer().status, 431);
  EXPECT_TRUE(no_connection_is_left() || server_->connections() <= 3);
}

TEST_F(HttpServerTest, BodiesTogetherAreBounded) {
  HttpServerOptions options;
  options.max_body_bytes = 1000;
  options.max_pending_body_bytes = 1500;
  start(options);
  TcpClient first(server_->port());
  first.send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
  ASSERT_TRUE(eventually([&] {
    TcpClient second(server_->port());
    second.send(http_post("/x", std::string(900, 'y')));
    return second.read_answer().status == 503;
  }));
  first.send(std::string(1000, 'x'));
  EXPECT_EQ(first.read_answer().status, 200);
  TcpClient third(server_->port());
  third.send(http_post("/x", std::string(900, 'y')));
  EXPECT_EQ(third.read_answer().status, 200);
}

TEST_F(HttpServerTest, MalformedHttpIsStatus400) {
  start();
  for (const char* text :
       {"nonsense\r\n\r\n", "GET /x HTTP/9.9\r\n\r\n", "GET /x HTTP/1.1\r\nbad header\r\n\r\n",
        "POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n"}) {
    TcpClient client(server_->port());
    client.send(text);
    EXPECT_EQ(client.read_answer().status, 400) << text;
  }
}

TEST_F(HttpServerTest, HalfOpenAndIdleConnectionsAreClosed) {
  HttpServerOptions options;
  options.header_timeout = options.body_timeout = options.idle_timeout = milliseconds(100);
  start(options);
  TcpClient silent(server_->port());
  TcpClient half_header(server_->port());
  half_header.send("POST /x HTT");
  TcpClient half_body(server_->port());
  half_body.send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
  TcpClient used(server_->port());
  used.send(http_get("/x"));
  EXPECT_EQ(used.read_answer().status, 200);
  EXPECT_TRUE(no_connection_is_left());
  used.read_all();
  EXPECT_TRUE(used.ended());
}

TEST_F(HttpServerTest, ClientsThatLeaveEndTheirReplies) {
  start();
  for (const bool reset : {false, true}) {
    for (const char* path : {"/endless", "/silent"}) {
      TcpClient client(server_->port());
      client.send(http_get(path));
      client.read_until("\r\n\r\n");
      EXPECT_EQ(handler_.counters.alive, 1);
      if (reset) {
        client.reset();
      } else {
        client.shutdown_send();
      }
      EXPECT_TRUE(no_reply_is_left()) << path;
    }
  }
  EXPECT_TRUE(no_connection_is_left());
}

TEST_F(HttpServerTest, AClientThatLeftIsNoticedBehindPipelinedBytes) {
  start();
  TcpClient client(server_->port());
  client.send(http_get("/silent") + http_get("/x"));
  client.read_until("\r\n\r\n");
  client.shutdown_send();
  EXPECT_TRUE(no_reply_is_left());
}

TEST_F(HttpServerTest, ClientsThatDoNotReadAreCutOffAndOthersAreServed) {
  HttpServerOptions options;
  options.write_timeout = milliseconds(300);
  start(options);
  TcpClient slow(server_->port(), 4096);
  slow.send(http_get("/flood"));
  ASSERT_TRUE(eventually([this] { return handler_.counters.alive == 1; }));
  TcpClient other(server_->port());
  other.send(http_get("/x"));
  EXPECT_EQ(other.read_answer().status, 200);
  EXPECT_TRUE(no_reply_is_left());
}

TEST_F(HttpServerTest, ConnectionsAreBounded) {
  HttpServerOptions options;
  options.max_connections = 2;
  start(options);
  TcpClient a(server_->port());
  TcpClient b(server_->port());
  ASSERT_TRUE(eventually([this] { return server_->connections() == 2; }));
  TcpClient c(server_->port());
  EXPECT_THAT(c.read_all(), StartsWith("HTTP/1.1 503"));
  a.send(http_get("/x"));
  EXPECT_EQ(a.read_answer().status, 200);
}

TEST_F(HttpServerTest, DrainingEndsIdleConnectionsAtOnceAndStreamsWithAValidEnd) {
  start();
  TcpClient idle(server_->port());
  TcpClient busy(server_->port());
  busy.send(http_get("/endless"));
  busy.read_until("\r\n\r\n");
  // The client reads meanwhile: what it does not take in time would be cut off.
  std::thread drain([this] { server_->drain(milliseconds(50)); });
  EXPECT_THAT(busy.read_all(), ::testing::EndsWith("end\r\n0\r\n\r\n"));
  drain.join();
  EXPECT_EQ(server_->connections(), 0U);
  EXPECT_EQ(handler_.counters.ended_early, 1);
  idle.read_all();
  EXPECT_TRUE(idle.ended());
}

TEST_F(HttpServerTest, ATakenPortIsAnErrorThatNamesIt) {
  HttpServerOptions options;
  options.port = start().port();
  try {
    const HttpServer second(options, handler_, EventLog());
    FAIL() << "two servers listen on one port";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(std::to_string(options.port)));
  }
}

}  // namespace
}  // namespace mach::server
