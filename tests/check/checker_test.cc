// The checker against histories that are wrong in each way that it knows, and right ones that look
// wrong at first sight. Story::Breaks also says that every event which a violation cites is needed.
#include "tests/check/checker.h"

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tests/catch.h"
#include "tests/check/story.h"

namespace parley::check {
namespace {

const Shown kM1 = Between2("alice", "bob", "m1");
const Shown kM2 = Between2("bob", "alice", "m2");
const Shown kCreated = SystemIn("alice", "g", 1, R"({"event":"created","users":["alice","bob"]})");

void CheckRight(const Story& story) {
  const Verdict verdict = story.Check();
  INFO(Text(verdict));
  CHECK(verdict.ok());
}

// alice writes to bob, both are shown it.
Story OneMessage() {
  Story story;
  story.Up("alice:a").Up("bob:b").Send("alice:a", "chat/bob", "m1");
  story.Live("alice:a", At(1, kM1)).Live("bob:b", At(1, kM1));
  return story;
}

// alice has made a group with bob; both have that in their logs.
Story OneGroup() {
  Story story;
  story.Up("alice:a").Up("bob:b").Up("carol:c");
  story.Live("alice:a", At(1, kCreated)).Live("bob:b", At(1, kCreated));
  return story;
}

TEST_CASE("a history in which all holds is right") {
  Story story = OneMessage();
  story.Send("bob:b", "chat/alice", "m2").Live("bob:b", At(2, kM2)).Live("alice:a", At(2, kM2));
  story.Receipt("bob:b", 2).Told("alice:a", "bob", 1);
  story.Reading();
  story.Read("alice", {At(1, kM1), At(2, kM2)}).Read("bob", {At(1, kM1), At(2, kM2)});
  story.History("alice:reader", "bob", {At(1, kM1), At(2, kM2)}, 1).End();
  CheckRight(story);
}

TEST_CASE("what is unacknowledged may be lost, and may be there") {
  Story lost;
  lost.Up("alice:a").Up("bob:b").SendText("alice:a", "chat/bob", "m1").Down("alice:a");
  Story there = lost;
  lost.Reading().Read("alice", {}).Read("bob", {}).End();
  CheckRight(lost);
  there.Reading().Read("alice", {At(1, kM1)}).Read("bob", {At(1, kM1)}).End();
  CheckRight(there);
}

TEST_CASE("what was shown and is gone at the end is lost") {
  Story story = OneMessage();
  story.Reading().Read("bob", {}).End();
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kLost) == 2);
}

TEST_CASE("what is in its sender's log and not in its receiver's is lost") {
  Story story;
  story.Up("alice:a").Up("bob:b").Send("alice:a", "chat/bob", "m1").Live("alice:a", At(1, kM1));
  story.Reading().Read("alice", {At(1, kM1)}).Read("bob", {}).End();
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kLost) == 2);
}

TEST_CASE("what was told to be stored and is in no log is lost") {
  Story story;
  story.Up("alice:a").Send("alice:a", "chat/bob", "m1").Outcome("alice:a", "m1", "", 1);
  story.Reading().Read("alice", {}).End();
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kLost) == 2);
}

TEST_CASE("a member's log that lacks what was said while it was in has lost it") {
  Story story = OneGroup();
  const Shown said = InGroup("alice", "g", 2, "m1");
  story.Send("alice:a", "group/g", "m1").Live("alice:a", At(2, said));
  story.Reading().Read("alice", {At(1, kCreated), At(2, said)}).Read("bob", {At(1, kCreated)});
  story.End();
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kLost) == 2);
}

TEST_CASE("without its end a history shows no loss") {
  Story story = OneMessage();
  story.Reading().Up("bob:reader");
  CheckRight(story);
}

TEST_CASE("one message under two numbers is doubled") {
  Story story = OneMessage();
  story.Send("alice:a", "chat/bob", "m1").Live("bob:b", At(2, kM1));
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kDoubled) == 2);
}

TEST_CASE("two messages of one send without an id are doubled") {
  Story story;
  story.Up("alice:a").Up("bob:b").SendText("alice:a", "chat/bob", "m1");
  Shown first = kM1, second = kM1;
  first.id = "s1";
  second.id = "s2";
  story.Live("bob:b", At(1, first)).Live("bob:b", At(2, second));
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kDoubled) == 3);
}

TEST_CASE("the same text sent twice without an id is two messages") {
  Story story;
  story.Up("alice:a").Up("bob:b");
  story.SendText("alice:a", "chat/bob", "m1").SendText("alice:a", "chat/bob", "m1");
  Shown first = kM1, second = kM1;
  first.id = "s1";
  second.id = "s2";
  story.Live("bob:b", At(1, first)).Live("bob:b", At(2, second));
  CheckRight(story);
}

TEST_CASE("one number that is two messages is found, wherever they are shown") {
  Story story = OneMessage();
  story.Send("bob:b", "chat/alice", "m2");
  SECTION("live on another device") { story.Up("alice:b").Live("alice:b", At(1, kM2)); }
  SECTION("in sync") { story.Sync("alice:a", 0, 1, {At(1, kM2)}); }
  SECTION("in history") { story.History("alice:a", "bob", {At(1, kM2)}); }
  SECTION("in the log at the end") { story.Reading().Read("alice", {At(1, kM2)}); }
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kRenumbered) == 2);
}

TEST_CASE("a group's number that is two messages is found") {
  Story story = OneGroup();
  story.Send("alice:a", "group/g", "m1").Send("bob:b", "group/g", "m2");
  story.Live("alice:a", At(2, InGroup("alice", "g", 2, "m1")));
  story.Live("bob:b", At(2, InGroup("bob", "g", 2, "m2")));
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kRenumbered) == 2);
}

TEST_CASE("an outcome that names another number than the log's is found") {
  Story story;
  story.Up("alice:a").Up("alice:b").Send("alice:a", "chat/bob", "m1");
  story.Outcome("alice:a", "m1", "", 2).Live("alice:b", At(1, kM1));
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kRenumbered) == 2);
}

TEST_CASE("an outcome that names another of the group's numbers than the message has is found") {
  Story story = OneGroup();
  story.Send("alice:a", "group/g", "m1");
  story.Add({.kind = EventKind::kOutcome, .device = "alice:a", .id = "m1", .gseq = 3});
  story.Live("bob:b", At(2, InGroup("alice", "g", 2, "m1")));
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kRenumbered) == 2);
}

TEST_CASE("a message with two contents is found") {
  Story story = OneMessage();
  Shown changed = At(1, kM1);
  SECTION("another time") { changed.ts_ms += 1; }
  SECTION("another body") { changed.body = "\"another\""; }
  SECTION("another receiver") { changed.to = "carol"; }
  story.Sync("alice:a", 0, 1, {changed});
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kDiffers) == 2);
}

TEST_CASE("history shows an edited message otherwise, and that is right") {
  Story story = OneMessage();
  Shown edited = At(1, kM1);
  edited.body = "\"edited\"";
  edited.folded = true;
  story.History("alice:a", "bob", {edited});
  CheckRight(story);
}

TEST_CASE("what nobody sent is found") {
  Story story;
  story.Up("bob:b").Live("bob:b", At(1, kM1));
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kPhantom) == 1);
}

TEST_CASE("a group's message without the group's number is found") {
  Story story = OneGroup();
  story.Send("alice:a", "group/g", "m1").Live("bob:b", At(2, InGroup("alice", "g", 0, "m1")));
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kPhantom) == 1);
}

TEST_CASE("what was sent otherwise is found") {
  Story story;
  Shown shown = kM1;
  SECTION("the body") { shown.body = "\"another\""; }
  SECTION("the receiver") { shown.to = "carol"; }
  SECTION("what it refers to") { shown.ref = "carol/x"; }
  story.Up("alice:a").Send("alice:a", "chat/bob", "m1").Live("alice:a", At(1, shown));
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kPhantom) == 2);
}

TEST_CASE("a number that a listening device misses is a gap") {
  Story story = OneMessage();
  story.Send("alice:a", "chat/bob", "m3").Live("bob:b", At(3, Between2("alice", "bob", "m3")));
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kGap) == 2);
}

TEST_CASE("a device that confirms misses nothing while it is away") {
  Story story;
  story.Up("alice:a").Up("bob:b", true).Send("alice:a", "chat/bob", "m1");
  story.Live("bob:b", At(1, kM1)).Receipt("bob:b", 1).Placed("bob:b", 1).Down("bob:b");
  story.Up("bob:b", true).Send("alice:a", "chat/bob", "m3");
  story.Live("bob:b", At(3, Between2("alice", "bob", "m3")));
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kGap) == 3);
}

TEST_CASE("a device that never confirms starts live") {
  Story story = OneMessage();
  story.Down("bob:b").Up("bob:b").Send("alice:a", "chat/bob", "m3");
  story.Live("bob:b", At(3, Between2("alice", "bob", "m3")));
  CheckRight(story);
}

TEST_CASE("the copy of what was sent again may come out of turn") {
  Story story = OneMessage();
  story.Send("bob:b", "chat/alice", "m2").Live("alice:a", At(2, kM2)).Live("bob:b", At(2, kM2));
  story.Send("alice:a", "chat/bob", "m1").Live("alice:a", At(1, kM1));
  story.Send("bob:b", "chat/alice", "m3");
  story.Live("alice:a", At(3, Between2("bob", "alice", "m3")));
  CheckRight(story);
}

TEST_CASE("the copy of what was sent again may be the first that a device is shown") {
  Story story = OneMessage();
  story.Send("bob:b", "chat/alice", "m2").Live("alice:a", At(2, kM2)).Live("bob:b", At(2, kM2));
  story.Down("alice:a").Up("alice:a").Send("alice:a", "chat/bob", "m1");
  story.Live("alice:a", At(1, kM1)).Send("bob:b", "chat/alice", "m3");
  story.Live("alice:a", At(3, Between2("bob", "alice", "m3")));
  CheckRight(story);
}

TEST_CASE("a device that listens has everything once all is settled") {
  Story story = OneMessage();
  story.Sub("bob:b", "chat/bob", 1).Send("alice:a", "chat/bob", "m3");
  story.Live("alice:a", At(2, Between2("alice", "bob", "m3")));
  story.Sync("bob:c", 0, 2, {At(1, kM1), At(2, Between2("alice", "bob", "m3"))});
  SECTION("it is there") {
    story.Reading();
    INFO(Text(story.Check()));
    CHECK(story.Breaks(rule::kUndelivered) == 3);
  }
  SECTION("it is not") {
    story.Down("bob:b").Reading();
    CheckRight(story);
  }
}

TEST_CASE("a page that leaves a number out is a gap") {
  Story story = OneMessage();
  story.Send("alice:a", "chat/bob", "m3");
  SECTION("in the middle") {
    story.Sync("alice:a", 0, 3, {At(1, kM1), At(3, Between2("alice", "bob", "m3"))});
  }
  SECTION("at the beginning") {
    story.Sync("alice:a", 1, 3, {At(3, Between2("alice", "bob", "m3"))});
  }
  SECTION("at the end") { story.Sync("alice:a", 0, 2, {At(1, kM1)}); }
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kGap) == 1);
}

TEST_CASE("a page of a group that leaves out what its reader may see is a gap") {
  Story story = OneGroup();
  const Shown said = InGroup("alice", "g", 2, "m1");
  story.Send("alice:a", "group/g", "m1").Live("alice:a", At(2, said));
  story.SyncGroup("bob:b", "g", 2, {kCreated});
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kGap) == 1);
}

TEST_CASE("a log that ends before what was shown is stale") {
  Story story = OneMessage();
  story.Sync("bob:b", 0, 0, {});
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kStale) == 3);
}

TEST_CASE("history without what was shown before is stale") {
  Story story = OneMessage();
  story.History("bob:b", "alice", {});
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kStale) == 3);
}

TEST_CASE("recent and conversations without what was shown before are stale") {
  Story story = OneMessage();
  const Shown third = At(2, Between2("alice", "bob", "m3"));
  story.Send("alice:a", "chat/bob", "m3").Live("bob:b", third);
  SECTION("the head") { story.Overview("bob:b", "recent", 1, {third, At(1, kM1)}); }
  SECTION("the newest") { story.Overview("bob:b", "recent", 2, {At(1, kM1)}); }
  SECTION("one between") {
    const Shown fourth = At(3, Between2("alice", "bob", "m4"));
    story.Send("alice:a", "chat/bob", "m4").Live("bob:b", fourth);
    story.Overview("bob:b", "recent", 3, {fourth, At(1, kM1)});
  }
  SECTION("the last") { story.Overview("bob:b", "conversations", 0, {At(1, kM1)}); }
  SECTION("a conversation") {
    const Shown fourth = At(3, Between2("bob", "carol", "m4"));
    story.Send("bob:b", "chat/carol", "m4").Live("bob:b", fourth);
    const bool more = GENERATE(false, true);
    story.Overview("bob:b", "conversations", 0, {third}, more);
  }
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kStale) == 3);
}

TEST_CASE("recent and conversations that leave out what is older are right") {
  Story story = OneMessage();
  story.Send("alice:a", "chat/bob", "m3").Live("bob:b", At(2, Between2("alice", "bob", "m3")));
  const auto write = [&](uint64_t seq, const std::string& to) {
    const Shown message = At(seq, Between2("bob", to, "to " + to));
    story.Send("bob:b", "chat/" + to, "to " + to).Live("bob:b", message);
    return message;
  };
  const Shown third = write(3, "carol");
  SECTION("older messages") {
    story.Overview("bob:b", "recent", 3, {third, At(2, Between2("alice", "bob", "m3"))});
  }
  SECTION("older conversations") {
    story.Overview("bob:b", "conversations", 0, {third}, true);
    const Shown fourth = write(4, "dave"), fifth = write(5, "eve"), sixth = write(6, "fred");
    const Shown seventh = write(7, "gina");
    story.Overview("bob:b", "recent", 7, {seventh, sixth, fifth, fourth, third});
  }
  CheckRight(story);
}

TEST_CASE("history that was asked for before need not have what was shown meanwhile") {
  Story story;
  story.Up("bob:b").Up("alice:a").Send("alice:a", "chat/bob", "m1").History("bob:b", "alice", {});
  Event answer = story.events().back();
  Story late;
  for (size_t n = 0; n + 1 < story.events().size(); ++n) late.Add(story.events()[n]);
  late.Live("bob:b", At(1, kM1)).Add(answer);
  CheckRight(late);
}

TEST_CASE("another epoch is found") {
  Story story = OneMessage();
  story.Sync("bob:b", 0, 1, {At(1, kM1)}).Sync("bob:b", 0, 1, {At(1, kM1)});
  Story told;
  size_t answers = 0;
  for (Event event : story.events()) {
    if (event.kind == EventKind::kAnswer) event.epoch = "epoch" + std::to_string(++answers);
    told.Add(event);
  }
  INFO(Text(told.Check()));
  CHECK(told.Breaks(rule::kStale) == 2);
}

TEST_CASE("an answer that stands before what it answers is out of order") {
  Story story;
  story.Up("alice:a").Up("bob:b").Send("alice:a", "chat/bob", "m1").Live("bob:b", At(2, kM1));
  story.Send("bob:b", "chat/alice", "m2").Sync("bob:b", 0, 2, {At(1, kM2), At(2, kM1)});
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kOrder) == 3);
}

TEST_CASE("messages that nobody had seen when the others were sent may stand either way") {
  Story story;
  story.Up("alice:a").Up("bob:b");
  story.Send("alice:a", "chat/bob", "m1").Send("bob:b", "chat/alice", "m2");
  story.Live("bob:b", At(1, kM2)).Live("bob:b", At(2, kM1));
  story.Live("alice:a", At(1, kM1)).Live("alice:a", At(2, kM2));
  CheckRight(story);
}

TEST_CASE("a number that comes after a higher one is out of order") {
  Story story = OneMessage();
  story.Send("bob:b", "chat/alice", "m2").Live("alice:a", At(2, kM2)).Live("alice:a", At(1, kM1));
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kOrder) == 2);
}

TEST_CASE("a group's messages out of the group's order in a member's log are found") {
  Story story = OneGroup();
  story.Send("alice:a", "group/g", "m1").Send("alice:a", "group/g", "m2");
  story.Live("bob:b", At(2, InGroup("alice", "g", 3, "m2")));
  story.Live("bob:b", At(3, InGroup("alice", "g", 2, "m1")));
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kOrder) == 2);
}

TEST_CASE("a page that isn't in its order is found") {
  Story story = OneGroup();
  const Shown said = InGroup("alice", "g", 2, "m1");
  story.Send("alice:a", "group/g", "m1");
  SECTION("of a group") { story.SyncGroup("bob:b", "g", 2, {said, kCreated}); }
  SECTION("of history") {
    story.Send("alice:a", "chat/bob", "m1").Send("alice:a", "chat/bob", "m3");
    story.History("bob:b", "alice", {At(3, Between2("alice", "bob", "m3")), At(2, kM1)});
  }
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kOrder) == 1);
}

TEST_CASE("a receipt for what wasn't confirmed runs ahead") {
  Story story = OneMessage();
  SECTION("nothing was") {
    story.Told("alice:a", "bob", 1);
    INFO(Text(story.Check()));
    CHECK(story.Breaks(rule::kReceipt) == 3);
  }
  SECTION("less was") {
    story.Send("alice:a", "chat/bob", "m3").Receipt("bob:b", 1);
    story.Live("alice:a", At(2, Between2("alice", "bob", "m3")));
    story.Live("bob:b", At(2, Between2("alice", "bob", "m3"))).Told("alice:a", "bob", 2);
    INFO(Text(story.Check()));
    CHECK(story.Breaks(rule::kReceipt) == 3);
  }
}

TEST_CASE("a receipt for no message, or for another's, is found") {
  Story story = OneMessage();
  story.Receipt("bob:b", 9);
  SECTION("for none") {
    story.Told("alice:a", "bob", 7).Reading();
    story.Read("alice", {At(1, kM1)}).Read("bob", {At(1, kM1)}).End();
    INFO(Text(story.Check()));
    CHECK(story.Breaks(rule::kReceipt) == 1);
  }
  SECTION("for another's") {
    story.Send("bob:b", "chat/alice", "m2").Live("alice:a", At(2, kM2));
    story.Told("alice:a", "bob", 2);
    INFO(Text(story.Check()));
    CHECK(story.Breaks(rule::kReceipt) == 2);
  }
}

TEST_CASE("receipts that go back are found") {
  Story story = OneMessage();
  story.Send("alice:a", "chat/bob", "m3");
  story.Live("alice:a", At(2, Between2("alice", "bob", "m3")));
  story.Live("bob:b", At(2, Between2("alice", "bob", "m3"))).Receipt("bob:b", 2);
  SECTION("told") {
    story.Told("alice:a", "bob", 2).Told("alice:a", "bob", 1);
    INFO(Text(story.Check()));
    CHECK(story.Breaks(rule::kReceipt) == 2);
  }
  SECTION("in history") {
    story.Told("alice:a", "bob", 2);
    story.History("alice:a", "bob", {At(1, kM1), At(2, Between2("alice", "bob", "m3"))}, 1);
    INFO(Text(story.Check()));
    CHECK(story.Breaks(rule::kStale) == 3);
  }
}

TEST_CASE("receipts of a group go back only where its delivery was changed") {
  Story story = OneGroup();
  const Shown set = SystemIn("alice", "g", 3, R"({"delivery":"topic","event":"set"})");
  story.Send("alice:a", "group/g", "m1").Live("alice:a", At(2, InGroup("alice", "g", 2, "m1")));
  story.Live("bob:b", At(2, InGroup("alice", "g", 2, "m1"))).Receipt("bob:b", 2);
  const auto tell = [](Story* to, uint64_t gseq) {
    to->Add({.kind = EventKind::kTold,
             .device = "alice:a",
             .group = "g",
             .delivered = gseq,
             .by = "bob"});
  };
  tell(&story, 2);
  Story switched = story;
  tell(&story, 1);
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kReceipt) == 2);
  switched.Live("alice:a", At(3, set));
  tell(&switched, 1);
  CheckRight(switched);
}

TEST_CASE("a message between two that a third is shown is found") {
  Story story = OneMessage();
  story.Up("carol:c").Live("carol:c", At(1, kM1));
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kIntruder) == 1);
}

TEST_CASE("who never was in a group is shown nothing of it") {
  Story story = OneGroup();
  story.SyncGroup("carol:c", "g", 1, {kCreated});
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kIntruder) == 1);
}

TEST_CASE("who has gone from a group is shown nothing of what was said later") {
  Story story = OneGroup();
  const Shown removed = SystemIn("alice", "g", 2, R"({"event":"removed","user":"bob"})");
  const Shown said = InGroup("alice", "g", 3, "m1");
  story.Live("alice:a", At(2, removed)).Live("bob:b", At(2, removed));
  story.Send("alice:a", "group/g", "m1").Live("alice:a", At(3, said));
  Story right = story;
  right.Reading().Read("alice", {At(1, kCreated), At(2, removed), At(3, said)});
  right.Read("bob", {At(1, kCreated), At(2, removed)}).Read("carol", {}).End();
  CheckRight(right);
  story.LiveIn("bob:b", said);
  INFO(Text(story.Check()));
  CHECK(story.Check().counts().count(rule::kIntruder) == 1);
}

TEST_CASE("a group that shows its past shows it to who comes later") {
  Story story;
  const Shown created =
      SystemIn("alice", "g", 1, R"({"event":"created","history":"all","users":["alice"]})");
  const Shown added = SystemIn("alice", "g", 2, R"({"event":"added","users":["bob"]})");
  story.Up("alice:a").Up("bob:b").Live("alice:a", At(1, created)).Live("alice:a", At(2, added));
  story.Live("bob:b", At(1, added)).SyncGroup("bob:b", "g", 2, {created, added});
  CheckRight(story);
}

TEST_CASE("another's topic is closed") {
  Story story = OneMessage();
  SECTION("its subscription") { story.Sub("carol:c", "chat/bob", 1); }
  SECTION("a wildcard") { story.Sub("carol:c", "chat/#", 0); }
  SECTION("what comes on it") {
    story.Add({.kind = EventKind::kGot, .device = "carol:c", .topic = "answer/bob:b"});
  }
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kIntruder) == 1);
}

TEST_CASE("a refused subscription is right") {
  Story story = OneMessage();
  story.Sub("carol:c", "chat/bob", 0x80).Sub("carol:c", "chat/#", 0x87).Sub("bob:b", "chat/bob", 1);
  CheckRight(story);
}

TEST_CASE("what was refused is shown to nobody") {
  Story story;
  story.Up("alice:a").Up("bob:b").Send("alice:a", "chat/bob", "m1");
  story.Outcome("alice:a", "m1", "unavailable");
  Story right = story;
  right.Reading().Read("alice", {}).Read("bob", {}).End();
  CheckRight(right);
  story.Live("bob:b", At(1, kM1)).Reading();
  story.Read("alice", {At(1, kM1)}).Read("bob", {At(1, kM1)}).End();
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kRefused) == 2);
}

TEST_CASE("what was refused once and sent twice may be stored") {
  Story story;
  story.Up("alice:a").Up("bob:b").Send("alice:a", "chat/bob", "m1").Down("alice:a");
  story.Up("alice:a").Send("alice:a", "chat/bob", "m1").Outcome("alice:a", "m1", "unavailable");
  story.Reading().Read("alice", {At(1, kM1)}).Read("bob", {At(1, kM1)}).End();
  CheckRight(story);
}

TEST_CASE("another message under a taken id is a conflict, and the first one stays") {
  Story story = OneMessage();
  story.Send("alice:a", "chat/bob", "m1").Outcome("alice:a", "m1", "conflict");
  story.Reading().Read("alice", {At(1, kM1)}).Read("bob", {At(1, kM1)}).End();
  CheckRight(story);
}

TEST_CASE("a message with an id that finds no outcome is found") {
  Story story;
  story.Up("alice:a").Send("alice:a", "chat/bob", "m1").Reading().Read("alice", {}).End();
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kUnanswered) == 1);
}

TEST_CASE("a change of members that is answered and isn't so is found") {
  Story story = OneGroup();
  SECTION("one is added") {
    story.Change("alice:a", "groups.add", "g", "carol", 1, {"alice", "bob"});
  }
  SECTION("one is removed") {
    story.Change("alice:a", "groups.remove", "g", "bob", 1, {"alice", "bob"});
  }
  SECTION("one leaves") { story.Change("bob:b", "groups.leave", "g", "", 0, {}); }
  SECTION("others are in than the messages say") {
    story.Change("alice:a", "groups.get", "g", "", 1, {"alice"});
  }
  story.Reading().Read("alice", {At(1, kCreated)}).Read("bob", {At(1, kCreated)});
  story.Read("carol", {}).End();
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kMembership) == 1);
}

TEST_CASE("answers about members that agree with the messages are right") {
  Story story = OneGroup();
  const Shown left = SystemIn("bob", "g", 2, R"({"event":"left","user":"bob"})");
  story.Change("alice:a", "groups.get", "g", "", 1, {"bob", "alice"});
  story.Change("bob:b", "groups.leave", "g", "", 0, {});
  story.Live("alice:a", At(2, left)).Live("bob:b", At(2, left));
  story.Change("alice:a", "groups.remove", "g", "bob", 2, {"alice"});
  story.Reading().Read("alice", {At(1, kCreated), At(2, left)});
  story.Read("bob", {At(1, kCreated), At(2, left)}).Read("carol", {}).End();
  CheckRight(story);
}

TEST_CASE("a log that can't be read at the end is found") {
  Story story = OneMessage();
  story.Reading().Read("alice", {At(1, kM1)}).Up("bob:reader");
  story.Sync("bob:reader", 0, 1, {At(1, kM1)}, true).End();
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kUnreadable) == 1);
}

TEST_CASE("the smallest of several violations is shown first") {
  Story story = OneMessage();
  story.Up("carol:c").Live("carol:c", At(1, kM1)).Sync("bob:b", 0, 0, {});
  const Verdict verdict = story.Check();
  CHECK(verdict.counts().size() == 2);
  CHECK(verdict.Smallest().rule == rule::kIntruder);
}

// Plain MQTT.

Event PlainSend(const std::string& device, uint64_t n, int qos, const std::string& body) {
  return {.kind = EventKind::kSend,
          .device = device,
          .topic = "chat/bob",
          .n = n,
          .qos = qos,
          .body = body};
}

Event PlainGot(const std::string& device, const std::string& body) {
  Shown message;
  message.body = body;
  return {.kind = EventKind::kGot, .device = device, .topic = "chat/bob", .messages = {message}};
}

Event Acked(const std::string& device, uint64_t n) {
  return {.kind = EventKind::kAcked, .device = device, .n = n};
}

Story PlainStory() {
  Story story;
  story.set_plain();
  story.Sub("bob:b", "chat/bob", 2).Add(PlainSend("alice:a", 1, 2, "one"));
  story.Add(Acked("alice:a", 1));
  return story;
}

TEST_CASE("plain: what was acknowledged arrives once") {
  Story story = PlainStory();
  story.Add(PlainGot("bob:b", "one")).End();
  CheckRight(story);
}

TEST_CASE("plain: what was acknowledged and never arrives is lost") {
  Story story = PlainStory();
  story.End();
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kLost) == 4);
}

TEST_CASE("plain: what was not acknowledged may be lost") {
  Story story;
  story.set_plain();
  story.Sub("bob:b", "chat/bob", 2).Add(PlainSend("alice:a", 1, 2, "one")).End();
  CheckRight(story);
}

TEST_CASE("plain: QoS 2 that arrives twice is doubled, QoS 1 may") {
  Story story = PlainStory();
  story.Add(PlainGot("bob:b", "one"));
  Story once = story;
  story.Add(PlainGot("bob:b", "one"));
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kDoubled) == 2);
  once.Add(PlainSend("alice:a", 2, 1, "two"));
  once.Add(PlainGot("bob:b", "two")).Add(PlainGot("bob:b", "two"));
  CheckRight(once);
}

TEST_CASE("plain: one sender's messages stay in order") {
  Story story = PlainStory();
  story.Add(PlainSend("alice:a", 2, 2, "two"));
  story.Add(PlainGot("bob:b", "two")).Add(PlainGot("bob:b", "one"));
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kOrder) == 4);
}

TEST_CASE("plain: an answer comes after what it answers") {
  Story story = PlainStory();
  story.Sub("bob:c", "chat/bob", 2).Add(PlainGot("bob:b", "one"));
  story.Add(PlainSend("bob:b", 1, 2, "answer"));
  story.Add(PlainGot("bob:c", "answer")).Add(PlainGot("bob:c", "one"));
  INFO(Text(story.Check()));
  CHECK(story.Breaks(rule::kOrder) == 4);
}

TEST_CASE("plain: what nobody sent, and what wasn't subscribed to, is found") {
  Story story = PlainStory();
  story.Add(PlainGot("bob:b", "three"));
  CHECK(story.Breaks(rule::kPhantom) == 1);
  Story other = PlainStory();
  other.Add(PlainGot("carol:c", "one"));
  CHECK(other.Breaks(rule::kIntruder) == 1);
}

// Files.

std::string TemporaryFile(const std::string& text) {
  const auto path =
      std::filesystem::temp_directory_path() / ("parley-checker-test-" + std::to_string(getpid()));
  std::ofstream(path) << text;
  return path.string();
}

TEST_CASE("a written history is verified with the lines of its file") {
  Story story;
  story.Up("bob:b").Live("bob:b", At(1, kM1)).End();
  const std::string path = TemporaryFile("");
  {
    HistoryWriter writer(path, {.broker = "parley", .seed = 7});
    for (const Event& event : story.events()) writer.Write(event);
    writer.Close();
  }
  const Verified verified = VerifyFile(path);
  CHECK(verified.head.seed == 7);
  CHECK(verified.complete);
  REQUIRE(!verified.verdict.ok());
  const Violation& smallest = verified.verdict.Smallest();
  CHECK(smallest.events.front().line == 3);
  CHECK(Explain(smallest, path).find("\"id\":\"m1\"") != std::string::npos);
  std::filesystem::remove(path);
}

TEST_CASE("a file that ends within a line is a history without its end") {
  const std::string path =
      TemporaryFile("{\"history\":1}\n{\"e\":\"up\",\"t\":1,\"d\":\"a:b\"}\n{\"e\":\"go");
  const Verified verified = VerifyFile(path);
  CHECK(verified.verdict.ok());
  CHECK(!verified.complete);
  std::filesystem::remove(path);
}

TEST_CASE("what is no history is refused") {
  for (const char* text : {"", "hello\n", "{\"history\":2}\n", "{\"history\":1}\nhello\n{}\n"}) {
    const std::string path = TemporaryFile(text);
    CHECK_THROWS(VerifyFile(path));
    std::filesystem::remove(path);
  }
}

TEST_CASE("long bodies are told apart by their digests") {
  const std::string one(1000, 'a');
  CHECK(Digest(one).size() < 100);
  CHECK(Digest(one) != Digest(one + "b"));
  CHECK(Digest("short") == "short");
}

}  // namespace
}  // namespace parley::check
