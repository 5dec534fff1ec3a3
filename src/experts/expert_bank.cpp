#include "experts/expert_bank.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "mach/error.h"

#include "experts/expert_view.h"

namespace mach {
namespace {

// A lease for a prompt: large enough to feed the threads, small enough that reading and computing overlap.
constexpr uint32_t kLeastLease = 16;
constexpr uint32_t kMostGuesses = 2;  // reads at a time

int64_t now_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

uint64_t staging_bytes(const ExpertSource& source, uint32_t lanes) noexcept {
  return lanes * source.staging_bytes();
}

// Staging is inside the budget; what is left for slots must hold a token's working set.
uint64_t slot_budget(const ExpertSource& source, const BankOptions& options) {
  const uint64_t staging = staging_bytes(source, options.lanes);
  const uint64_t floor = bank_floor_bytes(source.layers(), options.top_k) + staging;
  if (options.budget_bytes >= floor) return options.budget_bytes - staging;
  const uint64_t hundredths = (floor + 9'999'999) / 10'000'000;  // of a GB, rounded up
  throw Error(
      ErrorCode::kOutOfBudget,
      fmt::format(
          "an expert cache of {} bytes is too small: one token uses {} bytes of experts and reading them "
          "{} more; give at least {} bytes ({:.2f} GB)",
          options.budget_bytes, floor - staging, staging, floor, static_cast<double>(hundredths) / 100));
}

}  // namespace

class ExpertBank::Pin final : public ExpertLease::Pin {
 public:
  Pin(ExpertBank& bank, std::vector<uint32_t> entries) : bank_(bank), entries_(std::move(entries)) {}
  ~Pin() override { bank_.release(entries_); }

 private:
  ExpertBank& bank_;
  std::vector<uint32_t> entries_;
};

ExpertBank::ExpertBank(std::unique_ptr<ExpertSource> source, const BankOptions& options)
    : source_(std::move(source)),
      options_(options),
      queue_(static_cast<uint32_t>(expert_total(source_->layers()))),
      policy_(options.eviction, static_cast<uint32_t>(expert_total(source_->layers()))) {
  const auto classes = plan_slots(source_->layers(), options_.top_k, slot_budget(*source_, options_));
  bank_bytes_ = staging_bytes(*source_, options_.lanes);
  std::map<uint32_t, uint32_t> pool_of_layer;
  for (const SlotClass& slots : classes) {
    Pool pool;
    pool.record_size = slots.record_size;
    pool.memory = AlignedBuffer(slots.slots * slots.record_size, kDirectIoAlignment, PageHint::kHuge);
    pool.owner.assign(slots.slots, UINT32_MAX);
    for (uint32_t slot = slots.slots; slot > 0; --slot) pool.free.push_back(slot - 1);
    pool.ahead = std::max(slots.slots / 8, std::min(4 * kLeastLease, slots.slots / 2));
    bank_bytes_ += pool.memory.size();
    for (const uint32_t layer : slots.layers) pool_of_layer[layer] = static_cast<uint32_t>(pools_.size());
    pools_.push_back(std::move(pool));
  }
  for (const ExpertLayerSpec& spec : source_->layers()) {
    Layer layer;
    layer.spec = &spec;
    layer.first = static_cast<uint32_t>(entries_.size());
    layer.pool = pool_of_layer.at(spec.layer);
    layer.place = static_cast<uint32_t>(layers_.size());
    entries_.resize(entries_.size() + spec.experts);
    layer_of_entry_.resize(entries_.size(), layer.place);
    layers_.push_back(std::move(layer));
  }

  std::vector<std::span<std::byte>> memory;
  for (Pool& pool : pools_) memory.push_back(pool.memory.bytes());
  std::vector<ReadContext> contexts;
  for (uint32_t i = 0; i < options_.lanes; ++i) {
    auto reader = make_reader(options_.reader, source_->files(), memory);
    if (!reader) {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("this system refuses to read experts by {}", reader_name(options_.reader)));
    }
    contexts.emplace_back(std::move(reader));
  }
  for (ReadContext& context : contexts) {
    lanes_.emplace_back([this, context = std::move(context)](const std::stop_token& stop) mutable {
      lane(stop, std::move(context));
    });
  }
  if (!options_.hot_list.empty()) hold_hot_experts();
}

ExpertBank::~ExpertBank() {
  for (std::jthread& lane : lanes_) lane.request_stop();
  lanes_.clear();  // joins
  note_hot_experts();
}

uint32_t ExpertBank::most_pinned(uint32_t pool) const noexcept {
  uint32_t floor = 0;
  for (const Layer& layer : layers_) {
    if (layer.pool == pool) floor += std::min(options_.top_k, layer.spec->experts);
  }
  const auto slots = static_cast<uint32_t>(pools_[pool].owner.size());
  return std::min(slots / 2, slots - floor);
}

// A lease without end on each. What cannot be read now is left to the pass that needs it.
void ExpertBank::hold_hot_experts() {
  hot_ = load_hot_list(options_.hot_list, source_->layers());
  std::vector<uint32_t> room;
  for (uint32_t pool = 0; pool < pools_.size(); ++pool) room.push_back(most_pinned(pool));
  std::unique_lock lock(mutex_);
  tokens_.resize(entries_.size());
  std::vector<uint32_t> held;
  for (const ExpertUses& hot : hot_) {
    Layer& layer = layer_at(hot.id.layer);
    if (room[layer.pool] == 0) continue;
    --room[layer.pool];
    const uint32_t entry = layer.first + hot.id.expert;
    start_read(layer, entry, take_slot(layer, Claim::kDecode), Urgency::kDemand);
    pin(layer, entry);
    held.push_back(entry);
  }
  work_.notify_all();
  ++waiting_;
  for (const uint32_t entry : held) {
    while (entries_[entry].state != State::kResident && entries_[entry].state != State::kFailed)
      changed_.wait(lock);
    if (entries_[entry].state == State::kResident) {
      ++pinned_;
    } else {
      unpin(entry);
    }
  }
  --waiting_;
  for (Layer& layer : layers_) layer.counters = {};
}

void ExpertBank::note_hot_experts() noexcept {
  try {
    HotList run;
    for (const Layer& layer : layers_) {
      for (uint32_t expert = 0; expert < layer.spec->experts && !tokens_.empty(); ++expert) {
        const uint64_t tokens = tokens_[layer.first + expert];
        if (tokens > 0) run.push_back({{layer.spec->layer, expert}, static_cast<double>(tokens)});
      }
    }
    if (!run.empty()) save_hot_list(options_.hot_list, merge_hot_lists(hot_, run));
  } catch (...) {  // no room, no rights: the next run starts without
  }
}

const ExpertBank::Layer* ExpertBank::find_layer(uint32_t layer) const noexcept {
  const auto it =
      std::lower_bound(layers_.begin(), layers_.end(), layer,
                       [](const Layer& entry, uint32_t wanted) { return entry.spec->layer < wanted; });
  return it != layers_.end() && it->spec->layer == layer ? &*it : nullptr;
}

ExpertBank::Layer& ExpertBank::layer_at(uint32_t layer) {
  if (const Layer* found = find_layer(layer)) return layers_[found->place];
  throw Error(ErrorCode::kInternal, fmt::format("the expert bank has no layer {}", layer));
}

ExpertLease ExpertBank::acquire(uint32_t layer_index, std::span<const uint32_t> experts, ExpertUse use_as) {
  std::unique_lock lock(mutex_);
  Layer& layer = layer_at(layer_index);
  std::vector<uint32_t> entries;
  entries.reserve(experts.size());
  for (const uint32_t expert : experts) {
    if (expert >= layer.spec->experts) {
      throw Error(ErrorCode::kInternal, fmt::format("layer {} has no expert {}", layer_index, expert));
    }
    entries.push_back(layer.first + expert);
  }
  if (entries.size() > pools_[layer.pool].owner.size()) {
    throw Error(ErrorCode::kInternal,
                fmt::format("a lease of {} experts is more than the bank has slots", entries.size()));
  }
  enter_layer(layer, use_as);

  ++waiting_;
  const int64_t start = now_ns();
  while (!enough_room(layer, entries)) changed_.wait(lock);
  uint32_t queued = 0;
  // What is there is held before slots are taken for the rest.
  for (const uint32_t entry : entries) {
    if (entries_[entry].state != State::kAbsent) use(layer, entry, use_as);
  }
  for (const uint32_t entry : entries) {
    if (entries_[entry].state != State::kAbsent) continue;
    const Claim claim = use_as == ExpertUse::kDecode ? Claim::kDecode : Claim::kPrefill;
    start_read(layer, entry, take_slot(layer, claim), Urgency::kDemand);
    use(layer, entry, use_as);
    ++queued;
  }
  if (queued > 1) {
    work_.notify_all();
  } else if (queued == 1) {
    work_.notify_one();
  }
  const auto arrived = [&](uint32_t entry) {
    return entries_[entry].state == State::kResident || entries_[entry].state == State::kFailed;
  };
  const bool waited = !std::all_of(entries.begin(), entries.end(), arrived);
  // All of them, also after one has failed: a lane must not write to a slot that has been given away.
  for (const uint32_t entry : entries) {
    while (!arrived(entry)) changed_.wait(lock);
  }
  --waiting_;
  if (waited) layer.counters.stall_ns += static_cast<uint64_t>(now_ns() - start);

  std::exception_ptr failure;
  for (const uint32_t entry : entries) {
    if (entries_[entry].state == State::kFailed && !failure) failure = failures_.at(entry);
  }
  if (failure) {
    for (const uint32_t entry : entries) unpin(entry);
    if (waiting_ > 0) changed_.notify_all();
    std::rethrow_exception(failure);
  }
  std::vector<ExpertWeights> weights;
  weights.reserve(entries.size());
  Pool& pool = pools_[layer.pool];
  for (const uint32_t entry : entries) {
    weights.push_back(bind_record(layer.spec->record, pool.slot(entries_[entry].slot).data()));
  }
  lock.unlock();
  return {std::move(weights), std::make_unique<Pin>(*this, std::move(entries))};
}

// Another layer than before: what was announced for the one before and not used has been a wrong guess. A layer that does
// not come after the one before begins another pass.
void ExpertBank::enter_layer(Layer& layer, ExpertUse use_as) {
  if (layer.place == current_) return;
  if (current_ != UINT32_MAX) settle(layers_[current_]);
  if (current_ == UINT32_MAX || layer.place <= current_) {
    const int64_t now = now_ns();
    if (decoding_ && use_as == ExpertUse::kDecode && pass_start_ns_ > 0) {
      gate_.passed(static_cast<double>(now - pass_start_ns_) * 1e-9, pass_misses_);
    }
    decoding_ = use_as == ExpertUse::kDecode;
    pass_start_ns_ = now;
    pass_misses_ = 0;
    ++pass_;
  }
  current_ = layer.place;
}

void ExpertBank::settle(Layer& layer) noexcept {
  for (const uint32_t index : layer.announced) {
    Entry& entry = entries_[index];
    entry.wanted = false;
    if (!entry.fresh) continue;
    if (entry.state == State::kQueued && entry.pins == 0) {
      evict(index);
      continue;
    }
    entry.fresh = false;
    entry.transient = true;
    entry.last_use = ++uses_;
    --pools_[layer.pool].fresh;
    if (std::exchange(entry.guessed, false)) ++layer.counters.guesses_wasted;
  }
  layer.announced.clear();
}

// Can slots be found for all that is missing? What these experts themselves occupy does not count.
bool ExpertBank::enough_room(const Layer& layer, std::span<const uint32_t> experts) const noexcept {
  const Pool& pool = pools_[layer.pool];
  uint32_t missing = 0;
  uint32_t own = 0;
  for (const uint32_t index : experts) {
    const Entry& entry = entries_[index];
    if (entry.state == State::kFailed) return false;  // its waiters leave soon
    if (entry.state == State::kAbsent) ++missing;
    if (idle(entry)) ++own;
  }
  return missing <= pool.free.size() + pool.idle - own;
}

// For kAhead there may be none: kNoSlot. For the others enough_room() has seen to it.
uint32_t ExpertBank::take_slot(Layer& layer, Claim claim) {
  Pool& pool = pools_[layer.pool];
  if (pool.free.empty()) {
    const uint32_t victim = find_victim(pool, layer, claim);
    if (victim == UINT32_MAX) {
      if (claim == Claim::kAhead) return kNoSlot;
      throw Error(ErrorCode::kInternal, "the expert bank has no slot to give");
    }
    evict(victim);
  }
  const uint32_t slot = pool.free.back();
  pool.free.pop_back();
  return slot;
}

// First what a prefill or a wrong guess left behind, the oldest first; then by the policy's key; then what is predicted;
// last what has been read ahead and waits to be used. Of equals the one whose layer comes up last.
uint32_t ExpertBank::find_victim(const Pool& pool, const Layer& layer, Claim claim) const noexcept {
  struct Rank {
    uint32_t group;
    double key;
    uint32_t behind;  // layers until it can be used again, counted from the far end
    bool operator<(const Rank& other) const noexcept {
      if (group != other.group) return group < other.group;
      return key != other.key ? key < other.key : behind < other.behind;
    }
  };
  const auto layers = static_cast<uint32_t>(layers_.size());
  const uint32_t last_group = claim != Claim::kAhead ? 3 : pool.fresh < pool.ahead ? 1 : 0;
  uint32_t victim = UINT32_MAX;
  Rank best{};
  for (const uint32_t owner : pool.owner) {
    if (owner == UINT32_MAX) continue;
    const Entry& entry = entries_[owner];
    if (!idle(entry)) continue;
    Rank rank{};
    if (entry.fresh) {
      rank = {3, static_cast<double>(entry.last_use), 0};
    } else if (entry.wanted) {
      rank = {2, policy_.key(owner), 0};
    } else if (entry.transient) {
      rank = {0, static_cast<double>(entry.last_use), 0};
    } else {
      const uint32_t distance = (layer_of_entry_[owner] + layers - layer.place - 1) % layers;
      rank = {1, policy_.key(owner), layers - distance};
    }
    if (rank.group > last_group) continue;
    if (victim == UINT32_MAX || rank < best) {
      victim = owner;
      best = rank;
    }
  }
  return victim;
}

// An idle expert loses its slot.
void ExpertBank::evict(uint32_t index) noexcept {
  Entry& entry = entries_[index];
  Layer& layer = layer_of(index);
  Pool& pool = pools_[layer.pool];
  if (entry.state == State::kQueued) {
    queue_.cancel(index);
    if (std::exchange(entry.urgent, false)) --urgent_;
  } else {
    ++layer.counters.evictions;
    --layer.resident;
    if (entry.guessed) ++layer.counters.guesses_wasted;
  }
  if (std::exchange(entry.fresh, false)) --pool.fresh;
  --pool.idle;
  pool.owner[entry.slot] = UINT32_MAX;
  pool.free.push_back(entry.slot);
  const uint64_t last_use = entry.last_use;
  entry = Entry{};
  entry.last_use = last_use;
}

// From absent to queued, without a lease yet.
void ExpertBank::start_read(Layer& layer, uint32_t index, uint32_t slot, Urgency urgency) {
  queue_.push(index, urgency);
  Entry& entry = entries_[index];
  Pool& pool = pools_[layer.pool];
  pool.owner[slot] = index;
  ++pool.idle;
  entry.slot = slot;
  entry.state = State::kQueued;
  entry.urgent = urgency != Urgency::kGuess;
  if (entry.urgent) ++urgent_;
}

// Leases an expert that has a slot, and notes what that says about it.
void ExpertBank::use(Layer& layer, uint32_t index, ExpertUse use_as) {
  Entry& entry = entries_[index];
  Pool& pool = pools_[layer.pool];
  const bool hit = entry.state == State::kResident && (!entry.fresh || entry.guessed);
  if (hit) {
    ++layer.counters.hits;
  } else {
    ++layer.counters.misses;
    ++pass_misses_;
  }
  if (entry.guessed) ++layer.counters.guesses_useful;
  if (entry.state == State::kQueued && entry.pins == 0) {  // maybe not at the head of the queue yet
    queue_.push(index, Urgency::kDemand);
    if (!std::exchange(entry.urgent, true)) ++urgent_;
  } else if (entry.state == State::kReading && !entry.urgent) {
    entry.urgent = true;
    ++urgent_;
  }
  const bool resident_before = hit && !entry.guessed;
  if (std::exchange(entry.fresh, false)) --pool.fresh;
  entry.guessed = false;
  entry.wanted = false;
  entry.last_use = ++uses_;
  if (use_as == ExpertUse::kDecode) {
    entry.transient = false;
    policy_.used(index, pass_);
    if (!tokens_.empty()) ++tokens_[index];
  } else if (!resident_before) {
    entry.transient = true;
  }
  pin(layer, index);
}

void ExpertBank::pin(Layer& layer, uint32_t index) noexcept {
  Entry& entry = entries_[index];
  if (idle(entry)) --pools_[layer.pool].idle;
  ++entry.pins;
}

void ExpertBank::unpin(uint32_t index) noexcept {
  Entry& entry = entries_[index];
  Pool& pool = pools_[layer_of(index).pool];
  if (--entry.pins > 0) return;
  if (entry.state != State::kFailed) {
    ++pool.idle;
    return;
  }
  failures_.erase(index);
  pool.owner[entry.slot] = UINT32_MAX;
  pool.free.push_back(entry.slot);
  entry = Entry{};
}

void ExpertBank::release(std::span<const uint32_t> entries) noexcept {
  const std::scoped_lock lock(mutex_);
  for (const uint32_t entry : entries) unpin(entry);
  if (waiting_ > 0) changed_.notify_all();
}

uint32_t ExpertBank::small_lease(const Layer& layer) const noexcept {
  const auto slots = static_cast<uint32_t>(pools_[layer.pool].owner.size());
  const uint32_t wanted = std::max(kLeastLease, 2 * options_.top_k);
  return std::min({layer.spec->experts, slots, std::max(options_.top_k, std::min(wanted, slots / 4))});
}

// Where the whole layer is in memory there is nothing to overlap with.
uint32_t ExpertBank::max_lease(uint32_t index) const noexcept {
  const std::scoped_lock lock(mutex_);
  const Layer* layer = find_layer(index);
  if (layer == nullptr) return 0;
  return layer->resident == layer->spec->experts ? layer->spec->experts : small_lease(*layer);
}

void ExpertBank::prefetch(uint32_t index, std::span<const uint32_t> experts, PrefetchHint hint) noexcept {
  try {
    const std::scoped_lock lock(mutex_);
    const Layer* found = find_layer(index);
    if (found == nullptr) return;
    Layer& layer = layers_[found->place];
    const bool guess = hint == PrefetchHint::kGuess;
    const bool keep = !guess || policy_.keeps_predicted();
    bool queued = false;
    bool room = !guess || reads_guesses();
    for (const uint32_t expert : experts) {
      if (expert >= layer.spec->experts) continue;
      const uint32_t number = layer.first + expert;
      Entry& entry = entries_[number];
      layer.announced.push_back(number);
      if (keep && (entry.state == State::kResident || entry.state == State::kAbsent)) entry.wanted = true;
      if (entry.state != State::kAbsent || !room) continue;
      const uint32_t slot = take_slot(layer, Claim::kAhead);
      room = slot != kNoSlot;
      if (!room) continue;
      start_read(layer, number, slot, guess ? Urgency::kGuess : Urgency::kNext);
      entry.fresh = true;
      entry.guessed = guess;
      entry.last_use = ++uses_;
      ++pools_[layer.pool].fresh;
      queued = true;
    }
    if (queued) work_.notify_all();
  } catch (...) {  // out of memory: it was a hint
  }
}

bool ExpertBank::wants_guesses() const noexcept {
  const std::scoped_lock lock(mutex_);
  return policy_.keeps_predicted() || reads_guesses();
}

// A lane reads one record at a time, the lock released meanwhile.
void ExpertBank::lane(const std::stop_token& stop, ReadContext context) {
  std::unique_lock lock(mutex_);
  while (true) {
    std::optional<ReadQueue::Read> read;
    // Guesses wait for a quiet disk, and a lane stays free for what is needed.
    const auto next = [&] {
      read = queue_.pop(urgent_ == 0 && guessing_ < std::min(kMostGuesses, options_.lanes));
      return read.has_value();
    };
    if (!work_.wait(lock, stop, next)) return;
    const uint32_t index = read->expert;
    Entry& entry = entries_[index];
    Layer& layer = layer_of(index);
    Pool& pool = pools_[layer.pool];
    if (idle(entry)) --pool.idle;
    entry.state = State::kReading;
    const bool guess = !entry.urgent;
    if (guess) ++guessing_;
    const std::span<std::byte> slot = pool.slot(entry.slot);
    const ExpertId id{layer.spec->layer, index - layer.first};

    lock.unlock();
    const int64_t start = now_ns();
    std::exception_ptr error;
    try {
      source_->read(id, slot.first(layer.spec->record.size), context);
    } catch (...) {
      error = std::current_exception();
    }
    const auto took = static_cast<uint64_t>(now_ns() - start);
    lock.lock();

    if (guess) --guessing_;
    publish(index, std::move(error), took);
  }
}

void ExpertBank::publish(uint32_t index, std::exception_ptr error, uint64_t read_ns) noexcept {
  Entry& entry = entries_[index];
  Layer& layer = layer_of(index);
  Pool& pool = pools_[layer.pool];
  if (std::exchange(entry.urgent, false)) --urgent_;
  if (!error) {
    entry.state = State::kResident;
    ++layer.resident;
    ++layer.counters.reads;
    layer.counters.bytes_read += layer.spec->record.size;
    layer.counters.read_ns += read_ns;
    if (entry.pins == 0) ++pool.idle;
  } else if (entry.pins > 0) {
    entry.state = State::kFailed;
    failures_[index] = std::move(error);
  } else {  // read ahead: who needs it will see for himself
    if (entry.fresh) --pool.fresh;
    pool.owner[entry.slot] = UINT32_MAX;
    pool.free.push_back(entry.slot);
    entry = Entry{};
  }
  if (waiting_ > 0) changed_.notify_all();
  if (urgent_ == 0) work_.notify_one();  // a guess may go
}

bool ExpertBank::holds(ExpertId id) const {
  const std::scoped_lock lock(mutex_);
  const Layer* layer = find_layer(id.layer);
  return layer != nullptr && id.expert < layer->spec->experts &&
         entries_[layer->first + id.expert].state == State::kResident;
}

ExpertStatus ExpertBank::status() const {
  const std::scoped_lock lock(mutex_);
  ExpertStatus status;
  status.residency = "streaming";
  status.source = source_->name();
  status.reader = reader_name(options_.reader);
  status.lanes = options_.lanes;
  status.eviction = eviction_name(policy_.kind());
  status.budget_bytes = options_.budget_bytes;
  status.bank_bytes = bank_bytes_;
  status.experts = entries_.size();
  status.pinned = pinned_;
  status.lookahead = reads_guesses();
  for (const Pool& pool : pools_) status.slots += pool.owner.size();
  for (const Layer& layer : layers_) {
    status.held += layer.resident;
    status.total += layer.counters;
    status.layers.push_back({layer.spec->layer, layer.counters});
  }
  return status;
}

}  // namespace mach
