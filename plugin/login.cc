#include "plugin/login.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sodium.h>

#include <algorithm>
#include <chrono>
#include <csignal>

namespace parley {
namespace {

LoginResult Accept(const Account& account) {
  LoginResult result;
  result.kind = LoginResult::Kind::kAccepted;
  result.account = account;
  return result;
}

LoginResult Refuse(LoginRefusal refusal) {
  LoginResult result;
  result.refusal = refusal;
  return result;
}

uint32_t GenerationOf(const std::optional<Account>& account) {
  return account ? account->generation : 0;
}

// The broker's signals are for the broker's thread.
std::thread ThreadWithoutSignals(std::function<void()> work) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread(std::move(work));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace

std::string_view LoginRefusalName(LoginRefusal refusal) {
  switch (refusal) {
    case LoginRefusal::kNone:
      return "none";
    case LoginRefusal::kBadUser:
      return "bad_user";
    case LoginRefusal::kWrongPassword:
      return "wrong_password";
    case LoginRefusal::kDisabled:
      return "disabled";
    case LoginRefusal::kBadToken:
      return "bad_token";
    case LoginRefusal::kSlowed:
      return "slowed";
    case LoginRefusal::kBusy:
      return "busy";
  }
  return "unknown";
}

std::string PlaceOf(std::string_view address) {
  std::string text(address);
  in6_addr v6;
  if (inet_pton(AF_INET6, text.c_str(), &v6) != 1) return text;
  char v4[INET_ADDRSTRLEN];
  if (IN6_IS_ADDR_V4MAPPED(&v6)) return inet_ntop(AF_INET, &v6.s6_addr[12], v4, sizeof v4);
  return "v6 " + std::string(reinterpret_cast<const char*>(v6.s6_addr), 8);
}

bool IsLoopback(std::string_view address) {
  return address == "::1" || PlaceOf(address).starts_with("127.");
}

LoginGate::LoginGate(const LoginOptions& options, Directory* directory,
                     const Credentials* credentials, Env* env, std::function<void()> wake)
    : options_(options),
      directory_(directory),
      credentials_(credentials),
      env_(env),
      wake_(std::move(wake)),
      verified_(kVerifiedMax),
      wrong_(kWrongMax),
      failures_(kFailuresMax),
      user_failures_(kFailuresMax),
      guesses_(kFailuresMax),
      budget_at_us_(env->MonotonicUs()) {
  for (size_t i = 0; i < options.workers; ++i) {
    workers_.push_back(ThreadWithoutSignals([this] { Work(); }));
  }
}

LoginGate::~LoginGate() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

LoginResult LoginGate::Check(std::string_view user, std::string_view client_id,
                             std::string_view password, std::string_view address, bool may_pend) {
  if (!ValidId(user) && user != kControlUser) return Refuse(LoginRefusal::kBadUser);
  if (Credentials::IsToken(password)) return CheckToken(user, client_id, password);
  if (user == kControlUser || password.empty() || password.size() > kPasswordBytesMax) {
    return Refuse(LoginRefusal::kWrongPassword);
  }
  UserId id(user);
  std::optional<Account> account = directory_->Find(id);
  Fingerprint login = credentials_->FingerprintOf(user, password);
  Source source = SourceOf(user, address);

  Lock lock(mutex_);
  if (std::optional<LoginResult> known = Remembered(login, account)) return *known;
  auto running = jobs_.find(login);
  if (running == jobs_.end() && Slowed(source)) return Refuse(LoginRefusal::kSlowed);
  if (callers_ >= options_.pending_max) return Refuse(LoginRefusal::kBusy);
  ++callers_;
  if (running != jobs_.end()) {
    ++running->second->callers;
    return Pend(running->second.get(), may_pend);
  }
  auto job = std::make_shared<Job>();
  job->user = std::move(id);
  job->password = password;
  job->login = login;
  job->source = source;
  bool worker_idle = jobs_.size() < options_.workers;
  jobs_.emplace(login, job);
  queue_.push_back(job);
  Failures* failures = failures_.Find(source.user_there);
  ++(failures != nullptr ? *failures : failures_.Put(source.user_there, {})).in_flight;
  work_.notify_one();
  if (worker_idle) WaitFor(job.get(), &lock);
  return job->result ? *job->result : Pend(job.get(), may_pend);
}

LoginResult LoginGate::CheckToken(std::string_view user, std::string_view client_id,
                                  std::string_view token) const {
  Result<TokenClaims> claims = credentials_->VerifyToken(token, user);
  if (!claims) return Refuse(LoginRefusal::kBadToken);
  LoginResult result;
  result.kind = LoginResult::Kind::kAccepted;
  result.expires_s = claims->expires_s;
  if (user == kControlUser) {
    result.control = true;
    result.account.role = Role::kAdmin;
    return claims->admin ? result : Refuse(LoginRefusal::kBadToken);
  }
  if (!claims->device.empty() && claims->device != client_id) {
    return Refuse(LoginRefusal::kBadToken);
  }
  UserId id(user);
  std::optional<Account> account = directory_->Find(id);
  if (!account || claims->issued_ms < account->tokens_after_ms ||
      claims->issued_ms < directory_->DeviceTokensAfter(id, DeviceId(client_id))) {
    return Refuse(LoginRefusal::kBadToken);
  }
  if (account->disabled) return Refuse(LoginRefusal::kDisabled);
  result.account = *account;
  return result;
}

std::optional<LoginResult> LoginGate::Remembered(const Fingerprint& login,
                                                 const std::optional<Account>& account) {
  uint32_t generation = GenerationOf(account);
  if (uint32_t* known = verified_.Find(login); known != nullptr) {
    if (account && !account->disabled && *known == generation) return Accept(*account);
    verified_.Erase(login);
  }
  if (uint32_t* known = wrong_.Find(login); known != nullptr) {
    if (*known == generation) return Refuse(LoginRefusal::kWrongPassword);
    wrong_.Erase(login);
  }
  return std::nullopt;
}

LoginGate::Source LoginGate::SourceOf(std::string_view user, std::string_view address) const {
  std::string place = PlaceOf(address);
  return {credentials_->FingerprintOf(user, place), credentials_->FingerprintOf(user, ""),
          credentials_->FingerprintOf("", place), IsLoopback(address)};
}

// Null: none that still count.
LoginGate::Failures* LoginGate::RecentFailures(FingerprintCache<Failures>* failures,
                                               const Fingerprint& of) {
  Failures* found = failures->Find(of);
  if (found == nullptr) return nullptr;
  if (env_->NowMs() - found->last_ms > kForgetFailuresMs) found->count = 0;
  return found->count + found->in_flight > 0 ? found : nullptr;
}

// Guesses under way count as wrong ones, or a thousand could be made at once. Not for an address:
// it may be that of many who come back at once.
bool LoginGate::Slowed(const Source& source) {
  if (!source.local && options_.address_rate > 0 &&
      GuessesFrom(source.place) >= options_.address_rate * kAddressBurstS) {
    return true;
  }
  const Failures* failures = RecentFailures(&failures_, source.user_there);
  if (failures == nullptr) return false;
  const Failures* all = RecentFailures(&user_failures_, source.user);
  if (!source.local && all != nullptr && all->count >= kBesiegedFailures) return true;
  if (failures->count + failures->in_flight < kFreeFailures) return false;
  if (failures->in_flight > 0) return true;
  uint32_t doublings = std::min<uint32_t>(failures->count - kFreeFailures, 20);
  return env_->NowMs() - failures->last_ms < std::min(kDelayFirstMs << doublings, kDelayMaxMs);
}

double LoginGate::GuessesFrom(const Fingerprint& place) {
  Guesses* guesses = guesses_.Find(place);
  if (guesses == nullptr) return 0;
  int64_t now_ms = env_->NowMs();
  double forgiven = static_cast<double>(now_ms - guesses->at_ms) * options_.address_rate / 1000;
  guesses->count = std::max(0.0, guesses->count - std::max(0.0, forgiven));
  guesses->at_ms = now_ms;
  return guesses->count;
}

void LoginGate::CountFailure(const Source& source) {
  auto count = [now_ms = env_->NowMs()](Failures* failures) {
    ++failures->count;
    failures->last_ms = now_ms;
  };
  count(failures_.Find(source.user_there));
  Failures* all = RecentFailures(&user_failures_, source.user);
  count(all != nullptr ? all : &user_failures_.Put(source.user, {}));
  guesses_.Put(source.place, {GuessesFrom(source.place) + 1, env_->NowMs()});
}

LoginResult LoginGate::Pend(Job* job, bool may_pend) {
  if (!may_pend) return Refuse(LoginRefusal::kBusy);
  LoginResult result;
  result.kind = LoginResult::Kind::kPending;
  result.ticket = ++last_ticket_;
  job->tickets.push_back(result.ticket);
  return result;
}

void LoginGate::WaitFor(Job* job, Lock* lock) {
  RefillBudget();
  int64_t wait_us = options_.wait_ms * 1000;
  if (wait_us <= 0 || wait_us > budget_us_) return;
  int64_t start_us = env_->MonotonicUs();
  job->waited_for = true;
  done_.wait_for(*lock, std::chrono::microseconds(wait_us),
                 [&] { return job->result.has_value(); });
  job->waited_for = false;
  budget_us_ -= env_->MonotonicUs() - start_us;
}

void LoginGate::RefillBudget() {
  int64_t now_us = env_->MonotonicUs();
  int64_t passed_us = std::min<int64_t>(now_us - budget_at_us_, 1000000);
  budget_us_ =
      std::min(budget_us_ + passed_us * (kWaitUsPerSecond / 2) / 1000000, kWaitUsPerSecond / 2);
  budget_at_us_ = now_us;
}

std::vector<LoginGate::Verdict> LoginGate::TakeVerdicts() {
  std::lock_guard lock(mutex_);
  return std::exchange(verdicts_, {});
}

size_t LoginGate::pending() const {
  std::lock_guard lock(mutex_);
  return callers_;
}

void LoginGate::Work() {
  Lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [this] { return stop_ || !queue_.empty(); });
    if (stop_) return;
    std::shared_ptr<Job> job = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    LoginResult result = Verify(job.get());
    lock.lock();
    if (!Conclude(job.get(), result)) continue;
    lock.unlock();
    wake_();
    lock.lock();
  }
}

// No lock is held. An account that can't log in with a password costs what one that can does.
LoginResult LoginGate::Verify(Job* job) {
  std::optional<Account> account = directory_->Find(job->user);
  job->generation = GenerationOf(account);
  Result<std::optional<std::string>> stored = directory_->PasswordHash(job->user);
  bool possible = account && !account->disabled && account->has_password;
  if (possible && !stored) return Refuse(LoginRefusal::kBusy);
  const std::string& hash = possible && *stored ? **stored : credentials_->dummy_hash();
  PasswordCheck check = credentials_->VerifyPassword(hash, job->password);
  // Changed meanwhile: which of both was verified is not known.
  if (GenerationOf(directory_->Find(job->user)) != job->generation) {
    return Refuse(LoginRefusal::kBusy);
  }
  if (account && account->disabled) return Refuse(LoginRefusal::kDisabled);
  if (!possible || check == PasswordCheck::kWrong) return Refuse(LoginRefusal::kWrongPassword);
  if (check == PasswordCheck::kRightButRehash) {
    // Only thrift: if it fails, the next login tries again.
    Result<std::string> fresh = credentials_->HashPassword(job->password);
    if (fresh) (void)directory_->ReplaceHash(job->user, hash, *fresh);
  }
  return Accept(*account);
}

void LoginGate::Remember(const Job& job, const LoginResult& result) {
  const Fingerprint& there = job.source.user_there;
  Failures* found = failures_.Find(there);
  Failures& failures = found != nullptr ? *found : failures_.Put(there, {});
  if (failures.in_flight > 0) --failures.in_flight;
  if (result.kind == LoginResult::Kind::kAccepted) {
    verified_.Put(job.login, job.generation);
    failures.count = 0;
    if (failures.in_flight == 0) failures_.Erase(there);
  } else if (result.refusal != LoginRefusal::kBusy) {
    CountFailure(job.source);
    wrong_.Put(job.login, job.generation);
  }
}

bool LoginGate::Conclude(Job* job, const LoginResult& result) {
  Remember(*job, result);
  jobs_.erase(job->login);
  callers_ -= job->callers;
  sodium_memzero(job->password.data(), job->password.size());
  if (job->waited_for) {
    job->result = result;
    done_.notify_one();
  }
  for (uint64_t ticket : job->tickets) verdicts_.push_back({ticket, result});
  return !job->tickets.empty();
}

}  // namespace parley
