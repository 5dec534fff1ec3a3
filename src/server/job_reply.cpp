#include "server/job_reply.h"

#include <mutex>
#include <optional>
#include <utility>
#include <variant>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace mach::server {
namespace {

struct JobEvent {
  size_t request = 0;  // of this reply
  EngineEvent what;
};

size_t bytes_of(const EngineEvent& event) {
  const auto* text = std::get_if<PieceEvent>(&event);
  if (text == nullptr) return 0;
  return sizeof(JobEvent) + text->piece.text.size() + text->piece.token.top.size() * sizeof(TokenLogprob);
}

// Between the engine's thread and the connection's. Thread-safe.
class Mailbox {
 public:
  explicit Mailbox(size_t max_bytes) : max_bytes_(max_bytes) {}

  void post(JobEvent event) {
    std::function<void()> wake;
    {
      const std::scoped_lock lock(mutex_);
      bytes_ += bytes_of(event.what);
      if (bytes_ > max_bytes_) {
        overflowed_ = true;  // the text is not kept, but the end is
        if (std::holds_alternative<PieceEvent>(event.what)) return;
      }
      // Of a prompt's progress only the latest matters.
      const bool progress = std::holds_alternative<ProgressEvent>(event.what);
      if (progress && !events_.empty() && events_.back().request == event.request &&
          std::holds_alternative<ProgressEvent>(events_.back().what)) {
        events_.back() = std::move(event);
      } else {
        events_.push_back(std::move(event));
      }
      wake = wake_;
    }
    if (wake) wake();
  }

  void set_wake(std::function<void()> wake) {
    const std::scoped_lock lock(mutex_);
    wake_ = std::move(wake);
  }

  std::vector<JobEvent> take() {
    const std::scoped_lock lock(mutex_);
    bytes_ = 0;
    return std::exchange(events_, {});
  }

  bool overflowed() const {
    const std::scoped_lock lock(mutex_);
    return overflowed_;
  }

 private:
  const size_t max_bytes_;
  mutable std::mutex mutex_;
  std::vector<JobEvent> events_;
  size_t bytes_ = 0;
  bool overflowed_ = false;
  std::function<void()> wake_;
};

struct Choice {
  explicit Choice(ReplyParserOptions options) : parser(std::move(options)) {}

  ReplyParser parser;
  JobSummary summary;
  bool ended = false;  // no more text comes
};

// One request to the engine loop, and which choices of the reply are its own.
struct Running {
  std::optional<RequestId> id;  // until its end
  size_t first_choice = 0;
  size_t choices = 1;
  bool ended = false;
};

class JobReply final : public Reply {
 public:
  JobReply(JobQueue& queue, PreparedJobs prepared, std::unique_ptr<ReplyFormat> format,
           JobReplyOptions options, ReplyObserver observer)
      : queue_(queue),
        options_(std::move(options)),
        format_(std::move(format)),
        observer_(std::move(observer)),
        keep_(std::move(prepared.keep)),
        mailbox_(std::make_shared<Mailbox>(options_.max_unread_bytes)),
        started_(Clock::now()),
        last_output_(started_) {
    for (ReplyParserOptions& parser : prepared.parsers) {
      choices_.push_back(std::make_unique<Choice>(std::move(parser)));
    }
  }
  JobReply(const JobReply&) = delete;
  JobReply& operator=(const JobReply&) = delete;
  ~JobReply() override {
    mailbox_->set_wake({});
    cancel();
    constexpr int kClientClosedRequest = 499;
    if (!ended_) report(kClientClosedRequest);
  }

  void submit(std::vector<EngineRequest> requests) {
    size_t choice = 0;
    for (size_t i = 0; i < requests.size(); ++i) {
      EngineRequest& request = requests[i];
      running_.push_back({std::nullopt, choice, request.choices, false});
      choice += request.choices;
      request.events = [mailbox = mailbox_, i](EngineEvent event) { mailbox->post({i, std::move(event)}); };
      running_.back().id = queue_.submit(std::move(request));
    }
    submitted_ = true;
  }

  void start(std::function<void()> wake) override {
    mailbox_->set_wake(wake);
    wake();
  }

  ReplyPart pull(Clock::time_point now) noexcept override {
    ReplyPart part;
    if (ended_) return part;
    try {
      fill(part, now);
    } catch (const Error& error) {
      fail(api_error(error), part);
    } catch (const std::exception&) {
      fail(internal_error(), part);
    }
    if (part.head || !part.body.empty()) last_output_ = now;
    return part;
  }

  std::optional<Clock::time_point> next_pull() const noexcept override {
    std::optional<Clock::time_point> next;
    if (options_.stream) next = last_output_ + options_.keep_alive;
    if (options_.time_limit.count() > 0 && !timed_out_) {
      const auto limit = started_ + options_.time_limit;
      next = next ? std::min(*next, limit) : limit;
    }
    return next;
  }

  void end_early() noexcept override { cancel(); }

 private:
  void fill(ReplyPart& part, Clock::time_point now) {
    if (options_.stream && !head_sent_) {
      part.head = head(200, "text/event-stream");
      part.head->headers.push_back({"Cache-Control", "no-cache"});
      part.head->headers.push_back({"X-Accel-Buffering", "no"});  // proxies must not hold events back
      head_sent_ = true;
      format_->begin(part.body);
    }
    if (mailbox_->overflowed()) {
      throw RequestRefused(ErrorCode::kOverloaded, "slow_client",
                           "the client did not take what was generated");
    }
    for (JobEvent& event : mailbox_->take()) {
      Running& running = running_[event.request];
      std::visit([&](auto& what) { take(running, what, part.body); }, event.what);
    }
    if (ended_requests_ == running_.size()) return finish(part);
    if (options_.time_limit.count() > 0 && !timed_out_ && now >= started_ + options_.time_limit) time_out();
    if (options_.stream && part.body.empty() && now >= last_output_ + options_.keep_alive) {
      part.body = format_->keep_alive();
    }
  }

  Choice& choice_of(const Running& running, uint32_t choice) {
    return *choices_[running.first_choice + choice];
  }

  void take(Running& running, const StartedEvent& event, std::string& out) {
    for (size_t i = 0; i < running.choices; ++i) {
      JobSummary& summary = choice_of(running, static_cast<uint32_t>(i)).summary;
      summary.prompt_tokens = event.prompt_tokens;
      summary.cached_tokens = event.cached_tokens;
    }
    take(running, ProgressEvent{event.cached_tokens, event.prompt_tokens}, out);
  }

  void take(Running& running, const ProgressEvent& event, std::string& out) {
    if (!options_.stream || !options_.progress || running.first_choice != 0) return;
    const PromptProgress progress{event.done, choice_of(running, 0).summary.cached_tokens, event.total};
    const auto time = std::chrono::duration<double, std::milli>(Clock::now() - started_);
    format_->progress(progress, time.count(), out);
  }

  void take(Running& running, const PieceEvent& event, std::string& out) {
    Choice& choice = choice_of(running, event.choice);
    if (event.piece.token.id >= 0) ++choice.summary.generated_tokens;
    if (choice.ended) return;
    write(running.first_choice + event.choice, choice.parser.push({event.piece}), out);
    if (!choice.parser.wants_end()) return;
    end_choice(running.first_choice + event.choice, FinishReason::kCancelled, out);
    bool all = true;
    for (size_t i = 0; i < running.choices; ++i)
      all = all && choice_of(running, static_cast<uint32_t>(i)).ended;
    if (all && running.id) queue_.cancel(*running.id);
  }

  void take(Running& running, const ChoiceEndEvent& event, std::string& out) {
    JobSummary& summary = choice_of(running, event.choice).summary;
    summary.matched_stop = event.matched_stop.value_or("");
    summary.generated_tokens = event.generated_tokens;
    end_choice(running.first_choice + event.choice,
               event.reason == FinishReason::kCancelled ? FinishReason::kLength : event.reason, out);
  }

  void take(Running& running, const RequestEndEvent& event, std::string& out) {
    running.id.reset();
    running.ended = true;
    ++ended_requests_;
    const bool cancelled = event.error && event.error->code() == ErrorCode::kCancelled;
    if (event.error && !cancelled) throw Error(*event.error);
    if (timed_out_ && event.usage.generated_tokens == 0) {
      constexpr int kGatewayTimeout = 504;
      throw RequestRefused(ErrorCode::kOverloaded, "request_timeout",
                           "the request took longer than the server's time limit", kGatewayTimeout);
    }
    for (size_t i = 0; i < running.choices; ++i) {
      const size_t index = running.first_choice + i;
      Choice& choice = *choices_[index];
      // Without an end of its own: a request that was cancelled, or one without an answer (prefill only).
      // An answer that was cut off is incomplete, which clients know as `length`.
      end_choice(index, cancelled ? FinishReason::kLength : FinishReason::kStop, out);
      choice.summary.prompt_tokens = event.usage.prompt_tokens;
      choice.summary.cached_tokens = event.usage.cached_tokens;
      choice.summary.queue_seconds = event.timings.queued_seconds;
      choice.summary.prefill_seconds = event.timings.prompt_seconds;
      choice.summary.decode_seconds = event.timings.decode_seconds;
      if (options_.stream) format_->choice_end(index, finished(choice), out);
    }
  }

  void end_choice(size_t index, FinishReason reason, std::string& out) {
    Choice& choice = *choices_[index];
    if (choice.ended) return;
    choice.ended = true;
    choice.summary.finish = reason;
    write(index, choice.parser.finish(reason), out);
  }

  void write(size_t index, const std::vector<ReplyDelta>& deltas, std::string& out) {
    if (!options_.stream) return;
    for (const ReplyDelta& delta : deltas) format_->delta(index, delta, out);
  }

  void finish(ReplyPart& part) {
    std::vector<FinishedChoice> all;
    for (const auto& choice : choices_) all.push_back(finished(*choice));
    if (options_.stream) {
      format_->end(all, part.body);
    } else {
      part.head = head(200, "application/json");
      part.body = format_->whole(all);
    }
    end(part, 200);
  }

  void fail(const ApiError& error, ReplyPart& part) noexcept {
    cancel();
    if (options_.stream) {
      format_->error(error, part.body);
    } else {
      part.head = head(error.status, "application/json");
      if (error.retry_after) {
        part.head->headers.push_back({"Retry-After", std::to_string(*error.retry_after)});
      }
      part.body = error_body(error, format_->style()).dump();
    }
    end(part, error.status);
  }

  void end(ReplyPart& part, int status) {
    part.last = true;
    ended_ = true;
    report(status);
  }

  void report(int status) {
    if (!observer_ || !submitted_) return;
    std::vector<FinishedChoice> known;
    for (const auto& choice : choices_) known.push_back(finished(*choice));
    std::exchange(observer_, {})(known, status);
  }

  FinishedChoice finished(const Choice& choice) const { return {&choice.parser.message(), choice.summary}; }

  ResponseHead head(int status, const char* type) const { return {status, type, options_.headers}; }

  void time_out() {
    timed_out_ = true;
    cancel();
  }

  void cancel() noexcept {
    for (const Running& running : running_) {
      if (running.id) queue_.cancel(*running.id);
    }
  }

  JobQueue& queue_;
  const JobReplyOptions options_;
  const std::unique_ptr<ReplyFormat> format_;
  ReplyObserver observer_;
  const std::shared_ptr<const void> keep_;
  const std::shared_ptr<Mailbox> mailbox_;
  std::vector<std::unique_ptr<Choice>> choices_;
  const Clock::time_point started_;
  Clock::time_point last_output_;
  std::vector<Running> running_;
  size_t ended_requests_ = 0;
  bool submitted_ = false;
  bool head_sent_ = false;
  bool timed_out_ = false;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<Reply> make_job_reply(JobQueue& queue, PreparedJobs jobs, std::unique_ptr<ReplyFormat> format,
                                      JobReplyOptions options, ReplyObserver observer) {
  std::vector<EngineRequest> requests = std::move(jobs.requests);
  auto reply = std::make_unique<JobReply>(queue, std::move(jobs), std::move(format), std::move(options),
                                          std::move(observer));
  reply->submit(std::move(requests));
  return reply;
}

}  // namespace mach::server
