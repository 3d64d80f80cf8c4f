#include "tests/check/history.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace parley::check {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kBodyWhole = 64;
constexpr size_t kBodyBegin = 40;

struct KindName {
  EventKind kind;
  const char* name;
};

constexpr std::array<KindName, 14> kKinds = {{
    {EventKind::kUp, "up"},
    {EventKind::kDown, "down"},
    {EventKind::kSub, "sub"},
    {EventKind::kSend, "send"},
    {EventKind::kAcked, "acked"},
    {EventKind::kGot, "got"},
    {EventKind::kOutcome, "outcome"},
    {EventKind::kAsk, "ask"},
    {EventKind::kAnswer, "answer"},
    {EventKind::kReceipt, "receipt"},
    {EventKind::kTold, "told"},
    {EventKind::kFault, "fault"},
    {EventKind::kReading, "reading"},
    {EventKind::kEnd, "end"},
}};

const char* NameOf(EventKind kind) {
  for (const KindName& row : kKinds) {
    if (row.kind == kind) return row.name;
  }
  return "";
}

std::optional<EventKind> KindOf(const std::string& name) {
  for (const KindName& row : kKinds) {
    if (name == row.name) return row.kind;
  }
  return std::nullopt;
}

// FNV-1a: a hash that needs no library, so that others can write histories.
uint64_t Hash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

// Members that hold their type's zero are left out.
void Put(Json* out, const char* name, const std::string& value) {
  if (!value.empty()) (*out)[name] = value;
}

void Put(Json* out, const char* name, uint64_t value) {
  if (value != 0) (*out)[name] = value;
}

void Put(Json* out, const char* name, bool value) {
  if (value) (*out)[name] = true;
}

void Put(Json* out, const char* name, const std::optional<uint64_t>& value) {
  if (value) (*out)[name] = *value;
}

template <typename T>
void Take(const Json& in, const char* name, T* value) {
  const auto found = in.find(name);
  if (found != in.end()) *value = found->get<T>();
}

void Take(const Json& in, const char* name, std::optional<uint64_t>* value) {
  const auto found = in.find(name);
  if (found != in.end()) *value = found->get<uint64_t>();
}

Json EncodeMessage(const Shown& message) {
  Json out = Json::object();
  Put(&out, "seq", message.seq);
  Put(&out, "type", message.type);
  Put(&out, "id", message.id);
  Put(&out, "from", message.from);
  Put(&out, "to", message.to);
  Put(&out, "group", message.group);
  Put(&out, "gseq", message.gseq);
  if (message.ts_ms != 0) out["ts"] = message.ts_ms;
  Put(&out, "body", message.body);
  Put(&out, "ref", message.ref);
  Put(&out, "folded", message.folded);
  return out;
}

Shown DecodeMessage(const Json& in) {
  Shown message;
  Take(in, "seq", &message.seq);
  Take(in, "type", &message.type);
  Take(in, "id", &message.id);
  Take(in, "from", &message.from);
  Take(in, "to", &message.to);
  Take(in, "group", &message.group);
  Take(in, "gseq", &message.gseq);
  Take(in, "ts", &message.ts_ms);
  Take(in, "body", &message.body);
  Take(in, "ref", &message.ref);
  Take(in, "folded", &message.folded);
  return message;
}

void PutMessages(Json* out, const Event& event) {
  if (event.kind == EventKind::kGot) {
    if (!event.messages.empty()) (*out)["m"] = EncodeMessage(event.messages.front());
  } else if (!event.messages.empty()) {
    for (const Shown& message : event.messages) (*out)["ms"].push_back(EncodeMessage(message));
  }
}

void TakeMessages(const Json& in, Event* event) {
  if (in.contains("m")) event->messages.push_back(DecodeMessage(in["m"]));
  if (!in.contains("ms")) return;
  for (const Json& message : in["ms"]) event->messages.push_back(DecodeMessage(message));
}

// Calls `member(name, field)` for each scalar member, in the order in which they are written.
template <typename E, typename Member>
void ForMembers(E& event, const Member& member) {
  member("acks", event.acks);
  member("kept", event.kept);
  member("n", event.n);
  member("rid", event.rid);
  member("method", event.method);
  member("topic", event.topic);
  member("id", event.id);
  member("type", event.type);
  member("body", event.body);
  member("ref", event.ref);
  member("code", event.code);
  member("seq", event.seq);
  member("gseq", event.gseq);
  member("with", event.with);
  member("by", event.by);
  member("group", event.group);
  member("user", event.user);
  member("after", event.after);
  member("before", event.before);
  member("head", event.head);
  member("more", event.more);
  member("epoch", event.epoch);
  member("delivered", event.delivered);
  member("read", event.read);
  member("what", event.what);
}

}  // namespace

std::string_view UserOf(std::string_view device) { return device.substr(0, device.find(':')); }

std::string Digest(std::string_view body) {
  if (body.size() <= kBodyWhole) return std::string(body);
  char hash[24];
  std::snprintf(hash, sizeof(hash), "#%016llx", static_cast<unsigned long long>(Hash(body)));
  return std::string(body.substr(0, kBodyBegin)) + hash;
}

std::string EncodeEvent(const Event& event) {
  Json out{{"e", NameOf(event.kind)}, {"t", event.at_us}};
  Put(&out, "d", event.device);
  ForMembers(event, [&](const char* name, const auto& value) { Put(&out, name, value); });
  if (event.kind == EventKind::kSub) out["code"] = event.granted;
  if (event.qos != 0) out["qos"] = event.qos;
  if (event.members) out["members"] = *event.members;
  PutMessages(&out, event);
  // A body's digest may end within a character.
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<Event> DecodeEvent(std::string_view line) {
  Json in = Json::parse(line, nullptr, false);
  if (!in.is_object() || !in.contains("e") || !in["e"].is_string()) return std::nullopt;
  const auto kind = KindOf(in["e"].get<std::string>());
  if (!kind) return std::nullopt;
  try {
    Event event;
    event.kind = *kind;
    Take(in, "t", &event.at_us);
    Take(in, "d", &event.device);
    Take(in, "qos", &event.qos);
    if (*kind == EventKind::kSub) {
      Take(in, "code", &event.granted);
      in.erase("code");
    }
    ForMembers(event, [&](const char* name, auto& value) { Take(in, name, &value); });
    if (in.contains("members")) event.members = in["members"].get<std::vector<std::string>>();
    TakeMessages(in, &event);
    return event;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

std::optional<HistoryHead> DecodeHead(std::string_view line) {
  const Json in = Json::parse(line, nullptr, false);
  if (!in.is_object() || in.value("history", Json()) != 1) return std::nullopt;
  try {
    HistoryHead head;
    Take(in, "broker", &head.broker);
    Take(in, "seed", &head.seed);
    Take(in, "plain", &head.plain);
    Take(in, "command", &head.command);
    return head;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

HistoryWriter::HistoryWriter(const std::string& path, const HistoryHead& head)
    : path_(path), file_(std::fopen(path.c_str(), "we")) {
  if (file_ == nullptr) throw std::runtime_error(path + ": " + std::strerror(errno));
  Json line{{"history", 1}, {"broker", head.broker}, {"seed", head.seed}};
  Put(&line, "plain", head.plain);
  Put(&line, "command", head.command);
  WriteLine(line.dump());
}

HistoryWriter::~HistoryWriter() {
  if (file_ != nullptr) std::fclose(file_);
}

void HistoryWriter::Write(const Event& event) { WriteLine(EncodeEvent(event)); }

void HistoryWriter::WriteLine(const std::string& line) {
  std::fwrite(line.data(), 1, line.size(), file_);
  std::fputc('\n', file_);
  ++lines_;
}

void HistoryWriter::Close() {
  const bool failed = std::ferror(file_) != 0;
  const bool closed = std::fclose(std::exchange(file_, nullptr)) == 0;
  if (failed || !closed) throw std::runtime_error(path_ + " couldn't be written");
}

}  // namespace parley::check
