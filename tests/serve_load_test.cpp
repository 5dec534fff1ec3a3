// A storm of clients of every kind on one mach-serve: streams, aborts, bad requests, oversize, half-open sockets, slow
// readers. Every accepted request gets a valid end, memory stays flat, and afterwards the answers are those of before.
// MACH_LOAD_SECONDS (default 20) and MACH_LOAD_CLIENTS (default 64) say how much of it.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <random>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/serve_program.h"

namespace mach::testing {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;

int from_environment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::atoi(text) : otherwise;
}

struct Storm {
  explicit Storm(uint16_t to) : port(to) {}

  uint16_t port;
  std::atomic<bool> over{false};
  std::atomic<int> requests{0}, answers{0}, refusals{0}, aborts{0};
  std::mutex mutex;
  std::vector<std::string> faults;  // what should not have happened

  void fault(const std::string& what) {
    const std::scoped_lock lock(mutex);
    if (faults.size() < 20) faults.push_back(what);
  }
};

json body(std::mt19937& random, bool stream) {
  constexpr const char* kQuestions[] = {"What is the capital of France?", "List 3 animals.",
                                        "Count from 5 to 30.", "Tell me a story about a fox named Mia."};
  json request = {{"messages", {{{"role", "user"}, {"content", kQuestions[random() % 4]}}}},
                  {"max_tokens", 1 + random() % 60},
                  {"stream", stream},
                  {"seed", random() % 1000},
                  {"n", 1 + random() % 2},
                  {"chat_template_kwargs", {{"enable_thinking", random() % 2 == 0}}}};
  if (random() % 4 == 0) request["logprobs"] = true;
  return request;
}

void whole_answer(Storm& storm, std::mt19937& random) {
  TcpClient client(storm.port);
  client.send(http_post("/v1/chat/completions", body(random, false).dump()));
  const auto answer = client.read_answer(std::chrono::minutes(5));
  if (answer.status == 429 || answer.status == 503) {
    ++storm.refusals;
  } else if (answer.status == 200 && !json::parse(answer.body, nullptr, false).is_discarded()) {
    ++storm.answers;
  } else {
    storm.fault("whole answer: status " + std::to_string(answer.status) + " " + answer.body.substr(0, 200));
  }
}

void streamed_answer(Storm& storm, std::mt19937& random) {
  TcpClient client(storm.port);
  client.send(http_post("/v1/chat/completions", body(random, true).dump()));
  const auto answer = client.read_answer(std::chrono::minutes(5));
  if (answer.status == 429 || answer.status == 503) {
    ++storm.refusals;
  } else if (answer.status == 200 && answer.body.ends_with("data: [DONE]\n\n")) {
    ++storm.answers;
  } else {
    storm.fault("stream: status " + std::to_string(answer.status) + " ends with " +
                answer.body.substr(answer.body.size() > 200 ? answer.body.size() - 200 : 0));
  }
}

void aborted_stream(Storm& storm, std::mt19937& random) {
  TcpClient client(storm.port);
  client.send(http_post("/v1/chat/completions", body(random, true).dump()));
  client.read_until("data:", std::chrono::milliseconds(random() % 500));
  ++storm.aborts;
  if (random() % 2 == 0) client.reset();
}

void wrong_request(Storm& storm, std::mt19937& random) {
  TcpClient client(storm.port);
  const std::string bodies[] = {"{\"messages\": [", std::string(20'000, '['), "{\"messages\": 7}", "",
                                std::string(2'000'000, 'x')};
  const size_t which = random() % std::size(bodies);
  client.send(http_post(random() % 2 == 0 ? "/v1/chat/completions" : "/v1/messages", bodies[which]));
  const int status = client.read_answer(std::chrono::minutes(1)).status;
  if (status < 400 || status >= 500) {
    if (status != 503)
      storm.fault("wrong request " + std::to_string(which) + ": status " + std::to_string(status));
  }
  ++storm.refusals;
}

void half_open(Storm& storm, std::mt19937& random) {
  TcpClient client(storm.port);
  const std::string request = http_post("/v1/chat/completions", body(random, true).dump());
  client.send(std::string_view(request).substr(0, random() % request.size()));
  std::this_thread::sleep_for(std::chrono::milliseconds(random() % 1000));
  ++storm.aborts;
}

void slow_reader(Storm& storm, std::mt19937& random) {
  TcpClient client(storm.port, 2048);
  client.send(http_post("/v1/chat/completions", body(random, true).dump()));
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 300));
    client.read_until("data:", std::chrono::milliseconds(10));
  }
  ++storm.aborts;
}

void one_client(Storm& storm, unsigned seed) {
  using Act = void (*)(Storm&, std::mt19937&);
  constexpr Act kActs[] = {whole_answer,  streamed_answer, streamed_answer, aborted_stream,
                           wrong_request, half_open,       slow_reader};
  std::mt19937 random(seed);
  while (!storm.over) {
    ++storm.requests;
    try {
      kActs[random() % std::size(kActs)](storm, random);
    } catch (const std::system_error& e) {
      storm.fault(std::string("connection: ") + e.what());
    }
  }
}

uint64_t resident_bytes(const ServeProgram& server) {
  std::ifstream file("/proc/" + std::to_string(server.pid()) + "/statm");
  uint64_t total = 0;
  uint64_t resident = 0;
  file >> total >> resident;
  return resident * 4096;
}

TEST(ServeLoad, AStormLeavesTheServerAsItWas) {
  const int seconds = from_environment("MACH_LOAD_SECONDS", 20);
  const int clients = from_environment("MACH_LOAD_CLIENTS", 64);
  ServeProgram server(demo_model().string(), {"--exact", "--log-level", "error", "--max-body-mb", "1",
                                              "--prefix-cache-max-gb", "0.05"});
  const std::vector<std::string> questions = {"What is the capital of France?", "List 3 animals.",
                                              "Count from 5 to 30."};
  std::vector<std::string> before;
  for (const std::string& question : questions) before.push_back(server.answer_to(question));

  Storm storm(server.port());
  std::vector<std::thread> threads;
  for (int i = 0; i < clients; ++i)
    threads.emplace_back([&storm, i] { one_client(storm, static_cast<unsigned>(i)); });
  const auto end = Clock::now() + std::chrono::seconds(seconds);
  const auto settled = Clock::now() + std::chrono::seconds(seconds) / 3;
  uint64_t early = 0;
  uint64_t late = 0;
  while (Clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    uint64_t& highest = Clock::now() < settled ? early : late;
    highest = std::max(highest, resident_bytes(server));
  }
  storm.over = true;
  for (std::thread& thread : threads) thread.join();

  EXPECT_THAT(storm.faults, ::testing::IsEmpty());
  EXPECT_GT(storm.answers, 0);
  EXPECT_TRUE(server.becomes_idle());
  for (size_t i = 0; i < questions.size(); ++i) EXPECT_EQ(server.answer_to(questions[i]), before[i]);
  const json stats = server.get("/v1/stats");
  EXPECT_EQ(stats["requests"]["failed"], 0);
  // What allocators and the prefix cache have not yet given back after a third of the time is allowed once more.
  constexpr uint64_t kSlack = uint64_t{96} << 20;
  EXPECT_LT(late, early + kSlack);
  std::printf("%d requests, %d answers, %d refusals, %d aborts; resident %llu MB, then %llu MB\n",
              storm.requests.load(), storm.answers.load(), storm.refusals.load(), storm.aborts.load(),
              static_cast<unsigned long long>(early >> 20), static_cast<unsigned long long>(late >> 20));
  EXPECT_EQ(server.stop().status, 0);
}

}  // namespace
}  // namespace mach::testing
