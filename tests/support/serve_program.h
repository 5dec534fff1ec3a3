// mach-serve as a process of its own, on a free port of loopback.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <signal.h>
#include <unistd.h>

#include "support/mach_program.h"
#include "support/tcp_client.h"

namespace mach::testing {

class ServeProgram {
 public:
  explicit ServeProgram(const std::string& model, std::vector<std::string> more = {},
                        const Subprocess::Environment& environment = {})
      : process_(arguments(model, std::move(more)), environment) {
    if (!process_.wait_for_output("/v1\n")) {
      ADD_FAILURE() << "mach-serve did not start: " << process_.finish().err;
      return;
    }
    const std::string& out = process_.output();
    const size_t at = out.rfind(':');
    port_ = static_cast<uint16_t>(std::strtoul(out.c_str() + at + 1, nullptr, 10));
  }

  uint16_t port() const noexcept { return port_; }
  pid_t pid() const noexcept { return process_.pid(); }

  TcpClient::Answer ask(const std::string& request) const {
    TcpClient client(port_);
    client.send(request);
    return client.read_answer();
  }
  nlohmann::json get(const std::string& path) const {
    return nlohmann::json::parse(ask(http_get(path)).body);
  }
  TcpClient::Answer post(const std::string& path, const nlohmann::json& body) const {
    return ask(http_post(path, body.dump()));
  }
  // The text of a chat answer; the whole body where there is none.
  std::string answer_to(const std::string& question) const {
    const auto answer =
        post("/v1/chat/completions", {{"messages", {{{"role", "user"}, {"content", question}}}},
                                      {"temperature", 0},
                                      {"max_tokens", 200},
                                      {"chat_template_kwargs", {{"enable_thinking", false}}}});
    if (answer.status != 200) return answer.body;
    return nlohmann::json::parse(answer.body)["choices"][0]["message"]["content"];
  }
  // Whether nothing runs and nothing waits, within 20 seconds.
  bool becomes_idle() const {
    for (int i = 0; i < 400; ++i) {
      const auto stats = get("/v1/stats");
      if (stats.at("running") == 0 && stats.at("waiting") == 0) return true;
      ::usleep(50'000);
    }
    return false;
  }

  ProcessResult stop(int signal = SIGTERM) {
    process_.send_signal(signal);
    return process_.finish();
  }
  void send_signal(int number) { process_.send_signal(number); }
  ProcessResult finish() { return process_.finish(); }

 private:
  static std::vector<std::string> arguments(const std::string& model, std::vector<std::string> more) {
    std::vector<std::string> all = mach_arguments({"serve", model, "--no-streaming", "--port", "0"});
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  Subprocess process_;
  uint16_t port_ = 0;
};

}  // namespace mach::testing
