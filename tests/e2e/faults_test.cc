// The disk under a real broker: damaged, and full. What the rooms do on a disk that fails in every
// other way is in tests/storage.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/e2e/device.h"
#include "tests/e2e/small_disk.h"

namespace parley::e2e {
namespace {

namespace fs = std::filesystem;

struct Pair {
  explicit Pair(ChatServer* server)
      : alice(server->Open(server->NewUser("alice"))), bob(server->Open(server->NewUser("bob"))) {}
  void Return() {
    for (Device* device : {&alice, &bob}) {
      device->Login();
      device->Listen();
    }
  }
  Device alice;
  Device bob;
};

// The segment that was written to last.
fs::path NewestSegment(const Broker& server) {
  std::vector<fs::path> segments;
  for (const auto& entry : fs::directory_iterator(server.data_dir() / "journal")) {
    if (entry.path().extension() == ".log") segments.push_back(entry.path());
  }
  REQUIRE_FALSE(segments.empty());
  return *std::max_element(segments.begin(), segments.end());
}

std::string ReadAll(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void WriteAt(const fs::path& path, size_t offset, const std::string& bytes) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset));
  file << bytes;
  REQUIRE(file.flush().good());
}

Json CopyOrError(Device& device) {
  const auto outcome = [&](const MqttMessage& message) {
    return message.topic == device.inbox() || message.topic == device.answers();
  };
  return Json::parse(device.NextWhere(outcome, "copy or error").payload);
}

// Where the zeros begin that a segment is filled up with.
size_t EndOfFrames(const std::string& segment) {
  const size_t last = segment.find_last_not_of('\0');
  REQUIRE(last != segment.npos);
  return (last + 8) / 8 * 8;
}

constexpr size_t kFirstFrame = 4096;

TEST_CASE("what a power cut left behind the journal's last whole frame does no harm") {
  ChatServer server({}, 4);
  Pair pair(&server);
  for (int n = 1; n <= 50; ++n) pair.alice.Say(pair.bob.user(), n);
  const Json before = pair.bob.AskDone("sync");
  server.Kill();
  const fs::path segment = NewestSegment(server);
  WriteAt(segment, EndOfFrames(ReadAll(segment)), "the beginning of a frame that was never whole");
  server.Start();
  pair.Return();
  CHECK(pair.bob.AskDone("sync") == before);
  CHECK(pair.alice.Say(pair.bob.user(), "on")["seq"] == 51);
}

TEST_CASE("a flipped bit in what the journal had promised refuses the start and names the file") {
  ChatServer server({}, 4);
  Pair pair(&server);
  for (int n = 1; n <= 50; ++n) pair.alice.Say(pair.bob.user(), n);
  const Json before = pair.bob.AskDone("sync");
  server.Kill();
  const fs::path segment = NewestSegment(server);
  const std::string whole = ReadAll(segment);
  const size_t place = kFirstFrame + (EndOfFrames(whole) - kFirstFrame) / 2;
  WriteAt(segment, place, std::string(1, static_cast<char>(whole[place] ^ 1)));
  CHECK(server.StartRefused() != 0);
  CHECK(server.Log().find(segment.filename().string()) != std::string::npos);
  // Mended, for instance from a backup, it is all there.
  WriteAt(segment, place, std::string(1, whole[place]));
  server.Start();
  pair.Return();
  CHECK(pair.bob.AskDone("sync") == before);
}

TEST_CASE("a damaged shard map refuses the start and names the file") {
  ChatServer server({}, 4);
  server.Stop();
  const std::string whole = ReadAll(server.data_dir() / "shards");
  WriteAt(server.data_dir() / "shards", whole.size() / 2, "x");
  CHECK(server.StartRefused() != 0);
  CHECK(server.Log().find("shards") != std::string::npos);
}

TEST_CASE("a full backlog is answered with busy, and what was taken arrives") {
  ChatServer server({.options = {{"plugin_opt_queue_max", "4"}}}, 4);
  Pair pair(&server);
  constexpr int kSent = 2000;
  for (int n = 0; n < kSent; ++n) {
    pair.alice.StartPublish(pair.bob.inbox(), Json{{"id", std::to_string(n)}, {"body", n}}.dump());
  }
  int stored = 0;
  int busy = 0;
  while (stored + busy < kSent) {
    const Json outcome = CopyOrError(pair.alice);
    if (outcome.contains("error")) {
      CHECK(outcome["error"]["code"] == "busy");
      ++busy;
    } else {
      CHECK(outcome["seq"] == ++stored);
    }
  }
  CHECK(busy > 0);
  for (int n = 1; n <= stored; ++n) CHECK(pair.bob.Receive()["seq"] == n);
  CHECK(pair.alice.Say(pair.bob.user(), "on")["seq"] == stored + 1);
}

// The copy or the error of just this message: on a full disk there are errors that nobody asked
// for.
Json SendAs(Pair& pair, const std::string& id, const Json& body) {
  pair.alice.Publish(pair.bob.inbox(), Json{{"id", id}, {"body", body}}.dump());
  for (;;) {
    const Json outcome = CopyOrError(pair.alice);
    if (outcome.value("id", "") == id) return outcome;
  }
}

TEST_CASE("a full disk: senders are told, nothing is lost, and it works when there is room") {
  ChatServer server({.options = {{"plugin_opt_journal_segment_bytes", "1048576"}}}, 4);
  const auto disk = MoveToSmallDisk(&server);
  if (disk == nullptr) return;
  Pair pair(&server);
  pair.alice.Say(pair.bob.user(), "before");
  disk->Fill();
  const std::string large(20'000, 'x');
  int stored = 1;
  int refused = 0;
  for (int n = 0; refused < 20; ++n) {
    REQUIRE(n < 2000);
    const std::string id = "full" + std::to_string(n);
    const Json outcome =
        Json::parse(pair.alice.Send(pair.bob.user(), Json{{"id", id}, {"body", large}}.dump(), id));
    if (outcome.contains("error")) {
      CHECK(outcome["error"]["code"] == "unavailable");
      ++refused;
    } else {
      CHECK(outcome["seq"] == ++stored);
    }
  }
  disk->Free();
  const Clock::time_point deadline = Clock::now() + kDeadline;
  for (int n = 0;; ++n) {
    const std::string id = "room" + std::to_string(n);
    const Json outcome = SendAs(pair, id, 1);
    if (!outcome.contains("error")) {
      CHECK(outcome["seq"] == ++stored);
      break;
    }
    REQUIRE(Clock::now() < deadline);
  }
  for (int n = 1; n <= stored; ++n) CHECK(pair.bob.Receive()["seq"] == n);
  server.Kill();
  server.Start();
  pair.Return();
  CHECK(pair.bob.AskDone("sync", {{"after", stored - 1}})["head"] == stored);
  server.Kill();
}

}  // namespace
}  // namespace parley::e2e
