#include "bridge/gateway/router.h"

#include <utility>

#include "bridge/gateway/problem.h"

namespace parley::gateway {
namespace {

std::vector<std::string_view> SplitPath(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty() && path.front() == '/') {
    path.remove_prefix(1);
    size_t end = path.find('/');
    parts.push_back(path.substr(0, end));
    path = end == path.npos ? std::string_view() : path.substr(end);
  }
  return parts;
}

}  // namespace

void Router::Add(std::string method, std::string_view pattern, Handler handler) {
  auto parts = SplitPath(pattern);
  rows_.push_back(
      {std::move(method), std::string(pattern), {parts.begin(), parts.end()}, std::move(handler)});
}

bool Router::Matches(const Row& row, const std::vector<std::string>& parts, PathMembers* members) {
  if (row.parts.size() != parts.size()) return false;
  members->clear();
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string& pattern = row.parts[i];
    if (!pattern.starts_with('{')) {
      if (pattern != parts[i]) return false;
    } else if (parts[i].empty()) {
      return false;
    } else {
      (*members)[pattern.substr(1, pattern.size() - 2)] = parts[i];
    }
  }
  return true;
}

void Router::Handle(const ExchangePtr& exchange) const {
  std::string_view method = exchange->request().method;
  if (method == "HEAD") method = "GET";
  std::vector<std::string> parts;
  for (std::string_view part : SplitPath(exchange->request().path())) {
    if (!PercentDecode(part, &parts.emplace_back())) {
      return exchange->Answer(Problem({Code::kBadRequest, "the path isn't percent-encoded"}));
    }
  }
  std::string allowed;
  PathMembers members;
  for (const Row& row : rows_) {
    if (!Matches(row, parts, &members)) continue;
    exchange->set_route(row.pattern);
    if (row.method == method) return row.handler(exchange, members);
    allowed += (allowed.empty() ? "" : ", ") + row.method;
    if (row.method == "GET") allowed += ", HEAD";
  }
  if (allowed.empty()) return otherwise_(exchange, {});
  HttpResponse refusal = ProblemWithStatus(
      405, {Code::kBadRequest, "this path takes " + allowed + ", not " + std::string(method)});
  refusal.headers.emplace_back("Allow", allowed);
  exchange->Answer(std::move(refusal));
}

std::vector<std::string> Router::Routes() const {
  std::vector<std::string> routes;
  for (const Row& row : rows_) routes.push_back(row.method + " " + row.pattern);
  return routes;
}

}  // namespace parley::gateway
