#include "supervisor/proxy_service.hpp"

#include <boost/asio/post.hpp>

#include "common/logging.hpp"

namespace cppworker {
namespace {

// Streams run for hours; each retiring proxy costs some 10 MiB.
constexpr std::size_t kMostRetiring = 4;

// What the loop still has for a service that is over, such as a timer that had expired already, is done by
// then.
constexpr std::chrono::seconds kBuriedAfter{10};

std::uint64_t failures_of(const Service& service) {
  std::uint64_t sum = 0;
  for (const auto& [cause, count] : service.failures()) sum += count;
  return sum;
}

bool has_failed(const Service& service) {
  return service.state().phase != ServicePhase::kDown && !service.failures().empty();
}

}  // namespace

struct ProxyService::Grave {
  Process process;
  asio::steady_timer timer;
};

ProxyService::ProxyService(asio::io_context& io, ProcessRunner& processes, Ledger& ledger,
                           ProxyServiceSetup setup)
    : io_(io), processes_(processes), ledger_(ledger), setup_(std::move(setup)), current_(make()) {}

ProxyService::~ProxyService() = default;

ProxyService::Process ProxyService::make() {
  ProxyServiceSetup setup = setup_;
  auto self = std::make_shared<ProxyProcess*>(nullptr);
  setup.on_notice = [this, self](ProxyNotice notice) {
    if (notice == ProxyNotice::kTellOthers) return tell_others(*self);
    if (notice == ProxyNotice::kServing && *self != current_.get()) return;  // on_change has the news
    setup_.on_notice(notice);
  };
  setup.on_change = [this] {
    setup_.on_change();
    // Not from within the service that has changed: this may end its life.
    asio::post(io_, [this] { review(); });
  };
  // A replacement that fails too often leaves the one that serves; what withstands SIGKILL is left behind,
  // whoever else serves.
  setup.on_give_up = [this, self](const Service& service) {
    const bool stuck = service.state().phase == ServicePhase::kStuck;
    if ((stuck || *self == current_.get()) && setup_.on_give_up) setup_.on_give_up(service);
  };
  auto made = std::make_unique<ProxyProcess>(io_, processes_, ledger_, std::move(setup));
  *self = made.get();
  made->set_state(state_);
  return made;
}

Result<void> ProxyService::replace(std::function<void()> failed) {
  if (stopping_) return fail("cannot replace the proxy: the worker stops");
  if (const std::string why = hindrance(); !why.empty()) return fail("cannot replace the proxy: " + why);
  on_failed_replacement_ = std::move(failed);
  next_ = make();
  next_->service().post(ServiceEventKind::kWantUp);
  return {};
}

std::string ProxyService::hindrance() const {
  if (next_) return "a new proxy is about to take over";
  if (retiring_.size() < kMostRetiring) return {};
  return std::to_string(retiring_.size()) + " earlier proxies still finish their requests";
}

void ProxyService::tell_others(const ProxyProcess* than) {
  auto tell = [&](const Process& process) {
    if (process && process.get() != than) process->look();
  };
  tell(current_);
  tell(next_);
  for (const Process& process : retiring_) tell(process);
}

void ProxyService::review() {
  if (next_ && next_->service().state().phase == ServicePhase::kReady) {
    spdlog::info("proxy: process {} has taken over from {}", next_->service().pid(),
                 current_->service().pid());
    current_->retire();
    retiring_.push_back(std::move(current_));
    current_ = std::move(next_);
    setup_.on_change();
  } else if (next_ && has_failed(next_->service())) {
    spdlog::error("proxy: its replacement failed; process {} goes on, with its old settings",
                  current_->service().pid());
    next_->retire();
    next_->service().post(ServiceEventKind::kWantDown);
    retiring_.push_back(std::move(next_));
    on_failed_replacement_();
  }
  bury();
}

void ProxyService::bury() {
  for (auto one = retiring_.begin(); one != retiring_.end();) {
    if (!cppworker::is_over((*one)->service().state().phase)) {
      ++one;
      continue;
    }
    failures_of_the_buried_ += failures_of((*one)->service());
    graves_.push_back(std::make_unique<Grave>(Grave{std::move(*one), asio::steady_timer(io_, kBuriedAfter)}));
    one = retiring_.erase(one);
    graves_.back()->timer.async_wait([this](boost::system::error_code error) {
      if (!error) graves_.pop_front();
    });
    setup_.on_change();
  }
}

std::size_t ProxyService::retiring() const {
  return retiring_.size();
}

std::uint64_t ProxyService::failures() const {
  std::uint64_t sum = failures_of_the_buried_ + failures_of(current_->service());
  if (next_) sum += failures_of(next_->service());
  for (const Process& process : retiring_) sum += failures_of(process->service());
  return sum;
}

bool ProxyService::drained() const {
  auto done = [](const Process& process) {
    return !process || process->drained() || process->service().state().phase != ServicePhase::kReady;
  };
  return done(current_) && std::all_of(retiring_.begin(), retiring_.end(), done);
}

void ProxyService::stop() {
  stopping_ = true;
  current_->service().post(ServiceEventKind::kWantDown);
  if (next_) next_->service().post(ServiceEventKind::kWantDown);
  for (const Process& process : retiring_) process->service().post(ServiceEventKind::kWantDown);
}

void ProxyService::hurry() {
  current_->service().post(ServiceEventKind::kHurry);
  if (next_) next_->service().post(ServiceEventKind::kHurry);
  for (const Process& process : retiring_) process->service().post(ServiceEventKind::kHurry);
}

bool ProxyService::is_over() const {
  auto over = [](const Process& process) {
    return !process || cppworker::is_over(process->service().state().phase);
  };
  return over(current_) && over(next_) && std::all_of(retiring_.begin(), retiring_.end(), over);
}

void ProxyService::set_state(const WorkerState& state) {
  state_ = state;
  current_->set_state(state);
  if (next_) next_->set_state(state);
  for (const Process& process : retiring_) process->set_state(state);
}

}  // namespace cppworker
