#include "bridge/push/push_job.h"

#include <initializer_list>

namespace parley::push {

using nlohmann::json;

std::string Job::Title() const {
  std::string group = content.value("group", "");
  return group.empty() ? from() : from() + " in " + group;
}

std::string Job::Text() const {
  auto body = content.find("body");
  if (body != content.end() && body->is_string()) return body->get<std::string>();
  return count == 1 ? "A new message" : std::to_string(count) + " new messages";
}

Result<Job> ParseJob(std::string_view payload) {
  json parsed = json::parse(payload, nullptr, false);
  auto text = [&parsed](const char* member) {
    auto found = parsed.find(member);
    return found != parsed.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (!parsed.is_object()) return Error(Code::kBadRequest, "a job that is no object");
  Job job;
  job.name = text("job");
  job.provider = text("provider");
  job.tag = text("tag");
  if (job.name.empty() || job.provider.empty() || job.tag.empty() || text("from").empty() ||
      !parsed.contains("target")) {
    return Error(Code::kBadRequest, "a job without its name, provider, target, tag or sender");
  }
  auto number = [&parsed](const char* member, int64_t otherwise) {
    auto found = parsed.find(member);
    return found != parsed.end() && found->is_number_integer() ? found->get<int64_t>() : otherwise;
  };
  job.count = static_cast<uint64_t>(number("count", 1));
  job.lease_ms = number("lease_ms", 0);
  job.target = parsed["target"];
  for (const char* member : {"job", "provider", "target", "lease_ms"}) parsed.erase(member);
  job.content = std::move(parsed);
  return job;
}

std::string DoneJson(const std::string& job, const Outcome& outcome) {
  json done = {{"job", job}};
  switch (outcome.kind) {
    case Outcome::Kind::kOk:
      done["ok"] = true;
      break;
    case Outcome::Kind::kGone:
      done["gone"] = true;
      break;
    case Outcome::Kind::kFailed:
      done["failed"] = outcome.reason.empty() ? "failed" : outcome.reason;
      if (outcome.retry_after_ms > 0) done["retry_after_ms"] = outcome.retry_after_ms;
      break;
    case Outcome::Kind::kDrop:
      done["drop"] = outcome.reason.empty() ? "refused" : outcome.reason;
      break;
  }
  return done.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace parley::push
