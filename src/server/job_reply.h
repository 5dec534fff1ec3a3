// The Reply of a request that generates text: jobs in the engine loop on one side, a connection that pulls on the other.
// The engine's thread only puts events into a mailbox; parsing and formatting happen when the connection can write, so a
// slow client costs the engine nothing. Destroying the reply cancels its jobs.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "server/api_error.h"
#include "server/http.h"
#include "server/job_queue.h"
#include "server/reply_parser.h"
#include "server/served_model.h"

namespace mach::server {

struct PromptProgress {
  uint32_t done = 0;    // tokens, cached ones included
  uint32_t cached = 0;  // taken from the prefix cache
  uint32_t total = 0;
};

// How the generation of one choice went; prompt and times are those of its request.
struct JobSummary {
  FinishReason finish = FinishReason::kStop;
  std::string matched_stop;  // the stop string that ended it, if one did
  uint32_t prompt_tokens = 0;
  uint32_t cached_tokens = 0;
  uint32_t generated_tokens = 0;
  double queue_seconds = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
};

// One finished choice.
struct FinishedChoice {
  const ReplyMessage* message = nullptr;
  JobSummary summary;
};

// Writes a reply in the words of one API. For streams, everything in the order of the calls; for whole answers only whole().
class ReplyFormat {
 public:
  virtual ~ReplyFormat() = default;
  virtual ApiStyle style() const noexcept = 0;
  virtual std::string whole(const std::vector<FinishedChoice>& choices) = 0;

  virtual void begin(std::string&) {}  // with the headers
  virtual void progress(const PromptProgress&, double /*milliseconds*/, std::string&) {}
  virtual void delta(size_t choice, const ReplyDelta& delta, std::string& out) = 0;
  virtual void choice_end(size_t choice, const FinishedChoice& end, std::string& out) = 0;
  virtual void end(const std::vector<FinishedChoice>& choices, std::string& out) = 0;
  virtual void error(const ApiError& error, std::string& out) = 0;  // instead of what would follow
  virtual std::string_view keep_alive() const noexcept { return ": keep-alive\n\n"; }
};

struct JobReplyOptions {
  bool stream = false;
  bool progress = false;
  std::chrono::milliseconds keep_alive{10'000};  // a stream is never silent for longer
  std::chrono::milliseconds time_limit{0};       // then it ends with what there is; 0: none
  size_t max_unread_bytes = size_t{16} << 20;    // generated text that the client did not take: cancelled
  std::vector<HttpHeader> headers;               // of the response
};

// Called once, when the reply has ended or was given up, with what is known then; on the connection's thread.
using ReplyObserver = std::function<void(const std::vector<FinishedChoice>& choices, int status)>;

// Hands the jobs in. Throws what JobQueue::submit() throws; nothing runs on then.
std::unique_ptr<Reply> make_job_reply(JobQueue& queue, PreparedJobs jobs, std::unique_ptr<ReplyFormat> format,
                                      JobReplyOptions options, ReplyObserver observer = {});

}  // namespace mach::server
