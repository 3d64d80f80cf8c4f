// Parley inside the broker: owns everything, and answers the broker's events.
//
//   inbound.cc   BASIC_AUTH, ACL_CHECK, MESSAGE, CONTROL, DISCONNECT → commands
//   vouch.cc     as/<user>/login: a service has somebody's password checked
//   outbound.cc  TICK: effects → publishes, answers, figures
//   host.cc      start, stop, figures
//
// Broker thread only, but for the callbacks that say otherwise. Every event is memory work: no
// disk, no hash, no lock held across either.
#ifndef PARLEY_PLUGIN_HOST_H_
#define PARLEY_PLUGIN_HOST_H_

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "chat/control.h"
#include "chat/engine_thread.h"
#include "chat/release.h"
#include "chat/topic_members.h"
#include "plugin/access.h"
#include "plugin/directory_accounts.h"
#include "plugin/directory_thread.h"
#include "plugin/disk_figures.h"
#include "plugin/login.h"
#include "plugin/mosquitto_api.h"
#include "plugin/options.h"
#include "plugin/sessions.h"
#include "plugin/wake.h"
#include "storage/credentials.h"
#include "storage/directory.h"
#include "storage/histogram.h"
#include "storage/log.h"
#include "storage/roster.h"

namespace parley {

// Counted by the broker's thread, read by any.
struct InboundFigures {
  using Count = std::atomic<uint64_t>;
  Count publishes{0};  // accepted
  Count refused_publish{0};
  Count refused_subscribe{0};
  Count refused_login{0};
  Count logins{0};
  Count deliveries{0};  // publishes to devices
  Count typing_dropped{0};
  Count wakes{0};                       // ticks that had something to deliver
  Count sessions{0};                    // now
  std::array<Count, kCodes> refused{};  // errors told, by code
  Histogram callbacks;                  // how long each took
};

// What a service may have issued to somebody who has proved who they are.
struct WantedToken {
  int64_t ttl_s = 0;
  std::string device;  // empty: any
};

class Host {
 public:
  static Result<std::unique_ptr<Host>> Start(const Options& options);
  ~Host();

  int OnBasicAuth(mosquitto_evt_basic_auth* event);
  int OnAclCheck(mosquitto_evt_acl_check* event);
  int OnMessage(mosquitto_evt_message* event);
  int OnControl(mosquitto_evt_control* event);
  void OnDisconnect(mosquitto* client);
  void OnTick(mosquitto_evt_tick* event);
  void OnReload();

  // Where it is recorded how long each of these took.
  Histogram* callbacks() { return &figures_.callbacks; }

 private:
  // Where an MQTT 5 client wants its answer; both empty: on its answer topic.
  struct AnswerTo {
    std::string topic;
    std::string correlation;
  };
  // A service that awaits the verdict on somebody's password.
  struct Vouching {
    SessionId session = 0;
    UserId user;
    std::string head;
    AnswerTo to;
    std::optional<WantedToken> token;
  };

  explicit Host(const Options& options);
  Status Open();
  Status OpenLog();
  void OpenControl();

  // inbound.cc
  int Recheck(const Who& who);
  void StartSession(mosquitto* client, Who who, const LoginResult& login);
  void Introduce(Session& session);
  std::vector<GroupId> LeaveGroups(Session& session);
  void Welcome(Session& session);
  void EndSessions(const UserId& user);
  bool ClientIdAllowed(mosquitto* client, const UserId& user, std::string* why);
  void Dropped(Session& session, bool v5);
  int Will(const Session* taken_over, const mosquitto_evt_acl_check& event);
  int AclWrite(Session& session, const mosquitto_evt_acl_check& event);
  int AclSubscribe(Session& session, const mosquitto_evt_acl_check& event);
  Status Subscribe(Session& session, const Subscription& to, int8_t qos);
  int AclUnsubscribe(Session& session, std::string_view topic);
  Status ReadProperties(const Session& session, const mosquitto_property* properties,
                        Published* published);
  Status CheckProperties(const Session& session, Published* published);
  void Pass(Session& session, Command command);
  void RefuseBusy(const Session& session, const Published& published);
  // As the engine would have, by the id or rid that its payload begins with.
  void RefuseMessage(const Session& session, const Published& published, const Status& status);
  void RefuseTopic(const Session& session, std::string_view topic, const Status& status,
                   const AnswerTo& to = {});
  void RefuseWith(const Session& session, std::string_view head, const Status& status,
                  int64_t retry_after_ms, const AnswerTo& to);

  // vouch.cc
  void Vouch(const Session& session, const Published& published);
  LoginResult CheckKey(const UserId& user, std::string_view secret) const;
  void AnswerVouch(const Vouching& vouching, const LoginResult& result);
  Status IssueVouched(const UserId& user, const WantedToken& wanted, std::string* members);

  // outbound.cc
  void FirstTick();
  void TakeVerdicts();
  void DeliverEffects();
  void Hold(Session& session, Effect effect);
  void Close(const Session& session);
  void EndClosing();
  void Kick(std::string client_id);
  bool BrokerKeeps(const std::string& client_id);
  void Deliver(const Session& session, const Effect& effect);
  void DeliverFanout(const Effect& effect);
  void PublishGroup(const Session& session, const Effect& effect, int qos);
  void PublishTo(const Session& session, const std::string& topic, void* payload, size_t bytes,
                 int qos, const std::string& correlation);
  void AnswerWith(const Session& session, const std::string& text, const AnswerTo& to);
  void PublishText(const Session& session, const std::string& topic, std::string_view payload,
                   int qos, const std::string& correlation = {});
  void EverySecond(int64_t now_s);
  void PublishFigures(int64_t now_s);
  void PublishFigure(std::string_view name, const std::string& value);

  // Jobs that other threads hand to the broker's thread, run in the next tick.
  void ToBroker(std::function<void()> job);
  // All of chat/figures.h, but `wake` and `updated`. Any thread.
  using FigureList = std::vector<std::pair<std::string_view, nlohmann::json>>;
  FigureList Figures() const;
  void AddLogFigures(FigureList* list) const;
  void AddDiskFigures(FigureList* list) const;
  nlohmann::json RefusedByCode(const EngineCounts& engine) const;
  void MeasureDisk();

  const Options options_;
  Env* const env_ = Env::Posix();
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<Credentials> credentials_;
  std::unique_ptr<LoginGate> logins_;
  Wake wake_;
  Release release_;
  std::unique_ptr<DirectoryAccounts> accounts_;
  DiskFigures disk_;
  std::unique_ptr<DirectoryThread> directory_thread_;
  std::unique_ptr<Control> control_;
  std::unique_ptr<Roster> roster_;  // outlives the log, which writes it
  TopicMembers topic_members_;
  std::unique_ptr<EngineThread> engine_;
  std::unique_ptr<Log> log_;
  Sessions sessions_;
  std::unordered_map<uint64_t, SessionId> awaiting_;  // those that await a verdict, by ticket
  std::unordered_map<uint64_t, Vouching> vouches_;    // the same

  std::mutex broker_jobs_mutex_;
  std::vector<std::function<void()>> broker_jobs_;

  bool ticked_ = false;
  bool reloading_ = false;
  bool kicking_ = false;
  std::vector<SessionId> closing_;  // in the next tick
  std::vector<Effect> taken_;
  int64_t second_ = 0;
  int64_t figures_s_ = 0;
  int64_t disk_s_ = 0;
  int64_t started_ms_ = 0;
  std::string wake_method_;
  InboundFigures figures_;
};

}  // namespace parley

#endif  // PARLEY_PLUGIN_HOST_H_
