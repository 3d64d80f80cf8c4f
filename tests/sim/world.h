// One simulation: a machine with Parley on it, users with their devices, and what goes wrong. All
// of it follows from the seed. README.md has the fault model.
#ifndef PARLEY_TESTS_SIM_WORLD_H_
#define PARLEY_TESTS_SIM_WORLD_H_

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/accounts.h"
#include "tests/sim/broker.h"
#include "tests/sim/disk.h"
#include "tests/sim/oracle.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/server.h"
#include "tests/sim/trace.h"

namespace parley::sim {

class World {
 public:
  using json = nlohmann::json;

  World(uint64_t seed, bool verbose);

  // Runs it to its end. Throws Violation. Once.
  void Run();

  const Trace& trace() const { return trace_; }
  // Of all that happened.
  uint64_t hash() const { return trace_.hash() ^ scheduler_.hash(); }
  uint64_t steps() const { return scheduler_.switches(); }
  // What all threads do now.
  std::string Threads() const { return scheduler_.Describe(); }

 private:
  static ServerOptions OptionsFor(Dice* random, bool pushes);
  bool PowerMayGo() const { return options_.log.durability != Durability::kOs; }
  bool PowerCutsLose() const { return options_.log.durability == Durability::kInterval; }

  void Live();
  void Step();
  void Pause();

  // world_people.cc: what devices do.
  void Act(Phone& phone);
  void Send(Phone& phone);
  void SendAgain(Phone& phone);
  void SendOther(Phone& phone);
  void Refer(Phone& phone);
  void SendNew(Phone& phone, Message& message, json object);
  void Confirm(Phone& phone);
  void Question(Phone& phone);
  void ChangeGroup(Phone& phone);
  void ChangeContact(Phone& phone);
  const std::string& AnyUser() { return users_[random_.Below(users_.size())]; }
  const std::string& AnyGroup() { return groups_[random_.Below(groups_.size())]; }

  // world_faults.cc: what goes wrong, and how it is mended.
  void GoWrong();
  void BreakSomething();
  void SlowDown();
  void FillDisk();
  std::string AnyPath();
  void CutPower();
  void KillProcess();
  void StopServer();
  void Mend();
  void StartServer();
  void NoticePowerCut();
  void Died(const char* how);

  // world_push.cc: who is to be woken, and the gateways.
  bool StaysAway(const Phone& phone) const;
  void StartPushes();
  void OptIn();
  void RunGateways();
  void TakePush(Phone& gateway, const json& job);
  void EndPush(Phone& gateway, const json& job, const char* how, const json& outcome);
  void Lose(Phone& gateway, const char* how);
  bool PushesAreDone();
  void CheckPushes();

  // world_audit.cc: all is read and checked.
  void Audit();
  void ReadAll();
  void Rot();
  std::string RotSomething(size_t* offset);
  void Quiet();
  void ComeToRest();
  void AuditUser(Phone& phone);
  void AuditGroups(Phone& phone);
  void AuditContacts();
  json AskUntilAnswered(Phone& phone, const std::string& method, json request);
  std::optional<json> AskOnce(Phone& phone, const std::string& method, const json& request);

  // What became of the pushes, by conversation: the latest message of which a job told that came
  // to its end, by the gateways, or for certain.
  struct Pushes {
    bool gone = false;        // a gateway said so since the opt-in
    bool amiss = false;       // something went wrong since all was done
    bool mended = false;      // gateways do right
    uint64_t away_since = 0;  // Oracle::tried
    std::map<std::string, uint64_t> told;
    std::map<std::string, uint64_t> told_gseq;  // by jobs that have no seq
    std::map<std::string, uint64_t> done;
    std::map<std::string, uint64_t> dead;  // as dead letters
  };

  const bool has_pushes_;
  Dice random_;
  Scheduler scheduler_;
  Trace trace_;
  Disk disk_;
  const std::vector<std::string> users_{"alice", "bob", "carol", "dave", "erin"};
  const std::vector<std::string> groups_{"readers", "walkers", "all"};
  FixedAccounts accounts_;
  const ServerOptions options_;
  Server server_;
  Oracle oracle_;
  Broker broker_;
  std::vector<Phone*> auditors_;  // one of each user
  std::vector<Phone*> gateways_;
  Pushes pushes_;
  uint64_t steps_ = 0;
  uint64_t trouble_one_in_ = 0;
  uint64_t long_one_in_ = 0;  // messages
  uint64_t long_body_ = 0;    // bytes at most
  int64_t mend_at_us_ = 0;    // 0: nothing to mend
  bool forgotten_ = false;    // by a power cut: all must be read before anybody writes
};

}  // namespace parley::sim

#endif  // PARLEY_TESTS_SIM_WORLD_H_
