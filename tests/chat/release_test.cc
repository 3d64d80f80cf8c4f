#include "chat/release.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "tests/catch.h"

namespace parley {
namespace {

std::vector<Effect> Effects(std::initializer_list<int> names) {
  std::vector<Effect> effects;
  for (int name : names) {
    effects.emplace_back();
    effects.back().payload = std::to_string(name);
  }
  return effects;
}

std::string Names(const std::vector<Effect>& effects) {
  std::string names;
  for (const Effect& effect : effects) names += (names.empty() ? "" : " ") + effect.payload;
  return names;
}

class Gate {
 public:
  int wakes = 0;
  Release release{[this] { ++wakes; }};

  std::string Take(size_t max = 100) {
    std::vector<Effect> out;
    more = release.Take(max, &out);
    return Names(out);
  }
  bool more = false;
};

TEST_CASE("effects are held until what they follow is committed") {
  Gate gate;
  gate.release.Hold(Lsn(2), Effects({1, 2}));
  CHECK(gate.Take() == "");
  gate.release.Committed(Lsn(1));
  CHECK(gate.Take() == "");
  gate.release.Committed(Lsn(2));
  CHECK(gate.Take() == "1 2");
  CHECK(gate.Take() == "");
}

TEST_CASE("effects of what is committed already are released at once") {
  Gate gate;
  gate.release.Committed(Lsn(5));
  gate.release.Hold(Lsn(5), Effects({1}));
  CHECK(gate.Take() == "1");
}

TEST_CASE("effects come out in the order in which they went in") {
  Gate gate;
  gate.release.Hold(Lsn(1), Effects({1}));
  gate.release.Hold(Lsn(3), Effects({2}));
  gate.release.Hold(Lsn(3), Effects({3}));
  gate.release.Hold(Lsn(4), Effects({4}));
  gate.release.Committed(Lsn(3));
  CHECK(gate.Take() == "1 2 3");
  gate.release.Committed(Lsn(9));
  CHECK(gate.Take() == "4");
}

TEST_CASE("a commit that is told late takes nothing back") {
  Gate gate;
  gate.release.Committed(Lsn(5));
  gate.release.Committed(Lsn(3));
  gate.release.Hold(Lsn(4), Effects({1}));
  CHECK(gate.Take() == "1");
}

TEST_CASE("a take has its maximum and says whether there is more") {
  Gate gate;
  gate.release.Hold(Lsn(), Effects({1, 2, 3}));
  CHECK(gate.Take(2) == "1 2");
  CHECK(gate.more);
  CHECK(gate.Take(2) == "3");
  CHECK_FALSE(gate.more);
}

TEST_CASE("the broker is woken when there is something to take and there was nothing") {
  Gate gate;
  gate.release.Hold(Lsn(1), Effects({1}));
  CHECK(gate.wakes == 0);
  gate.release.Committed(Lsn(1));
  CHECK(gate.wakes == 1);
  gate.release.Hold(Lsn(1), Effects({2}));
  CHECK(gate.wakes == 1);
  gate.Take(1);
  gate.release.Hold(Lsn(1), Effects({3}));
  CHECK(gate.wakes == 1);
  gate.Take();
  gate.release.Hold(Lsn(1), Effects({4}));
  CHECK(gate.wakes == 2);
  gate.release.Committed(Lsn(2));
  CHECK(gate.wakes == 2);
}

TEST_CASE("an empty turn wakes nobody") {
  Gate gate;
  gate.release.Hold(Lsn(), {});
  CHECK(gate.wakes == 0);
  CHECK(gate.release.size() == 0);
}

TEST_CASE("what waits for a failed number is taken back, and nothing before it") {
  Gate gate;
  gate.release.Hold(Lsn(2), Effects({1}));
  gate.release.Hold(Lsn(3), Effects({2, 3}));
  gate.release.Hold(Lsn(5), Effects({4}));
  CHECK(Names(gate.release.TakeBack(Lsn(3))) == "2 3 4");
  CHECK(gate.release.size() == 1);
  gate.release.Committed(Lsn(2));
  CHECK(gate.Take() == "1");
  // The numbers are used again.
  gate.release.Hold(Lsn(3), Effects({5}));
  CHECK(gate.Take() == "");
  gate.release.Committed(Lsn(3));
  CHECK(gate.Take() == "5");
}

TEST_CASE("what passes the gate does not wait for a commit") {
  Gate gate;
  gate.release.Hold(Lsn(1), Effects({1}));
  gate.release.Pass(Effects({2}));
  CHECK(gate.wakes == 1);
  CHECK(gate.Take() == "2");
  gate.release.Pass({});
  CHECK(gate.wakes == 1);
  gate.release.Committed(Lsn(1));
  CHECK(gate.Take() == "1");
}

TEST_CASE("the size counts what is held and what is not yet taken") {
  Gate gate;
  gate.release.Hold(Lsn(1), Effects({1, 2}));
  gate.release.Hold(Lsn(2), Effects({3}));
  CHECK(gate.release.size() == 3);
  gate.release.Committed(Lsn(1));
  CHECK(gate.release.size() == 3);
  gate.Take(1);
  CHECK(gate.release.size() == 2);
  gate.release.TakeBack(Lsn(2));
  CHECK(gate.release.size() == 1);
}

TEST_CASE("the bytes count what is held and what is not yet taken, and what is shared for each") {
  Gate gate;
  std::vector<Effect> effects = Effects({1, 22});
  effects[0].rest = effects[1].rest = std::make_shared<const std::string>("shared");
  effects[1].correlation = "abc";
  effects[1].response_topic = "t";
  gate.release.Hold(Lsn(1), std::move(effects));
  gate.release.Hold(Lsn(2), Effects({333}));
  CHECK(gate.release.bytes() == 1 + 6 + 2 + 6 + 4 + 3);
  gate.release.Committed(Lsn(1));
  gate.Take(1);
  CHECK(gate.release.bytes() == 2 + 6 + 4 + 3);
  gate.release.TakeBack(Lsn(2));
  CHECK(gate.release.bytes() == 2 + 6 + 4);
  gate.release.Pass(Effects({4444}));
  CHECK(gate.release.bytes() == 2 + 6 + 4 + 4);
  gate.Take();
  CHECK(gate.release.bytes() == 0);
}

// Holder, committer and taker as they run in the broker, each on its thread: all effects come out,
// in order, none before its commit; and a taker that sleeps until it is woken misses nothing.
TEST_CASE("three threads neither lose, reorder nor show too early") {
  constexpr uint64_t kTurns = 20'000;
  std::mutex mutex;
  std::condition_variable ready;
  bool woken = false;
  Release release([&] {
    std::lock_guard lock(mutex);
    woken = true;
    ready.notify_one();
  });
  std::atomic<uint64_t> numbered = 0;
  std::atomic<uint64_t> committed = 0;

  std::jthread committer([&] {
    for (uint64_t done = 0; done < kTurns;) {
      uint64_t upto = numbered.load();
      if (upto == done) {
        std::this_thread::yield();
        continue;
      }
      done = upto;
      committed = done;
      release.Committed(Lsn(done));
    }
  });
  std::jthread holder([&] {
    for (uint64_t turn = 1; turn <= kTurns; ++turn) {
      numbered = turn;  // appended first: it may be committed before Hold is called
      std::vector<Effect> effects(1 + turn % 3);
      for (Effect& effect : effects) effect.seq = Seq(turn);
      release.Hold(Lsn(turn), std::move(effects));
    }
  });

  uint64_t last = 0;
  size_t taken = 0;
  bool in_order = true;
  bool too_early = false;
  size_t all = 0;
  for (uint64_t turn = 1; turn <= kTurns; ++turn) all += 1 + turn % 3;
  while (taken < all) {
    {
      std::unique_lock lock(mutex);
      REQUIRE(ready.wait_for(lock, std::chrono::seconds(60), [&] { return woken; }));
      woken = false;
    }
    std::vector<Effect> out;
    while (release.Take(7, &out)) continue;
    uint64_t safe = committed;
    for (const Effect& effect : out) {
      in_order = in_order && effect.seq.value() >= last;
      too_early = too_early || effect.seq.value() > safe;
      last = effect.seq.value();
    }
    taken += out.size();
  }
  holder.join();
  committer.join();
  CHECK(in_order);
  CHECK_FALSE(too_early);
  CHECK(last == kTurns);
  CHECK(release.size() == 0);
}

}  // namespace
}  // namespace parley
