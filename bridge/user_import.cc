#include "bridge/user_import.h"

#include <algorithm>
#include <utility>

namespace parley {
namespace {

using nlohmann::json;

Status BadLine(std::string message) { return {Code::kBadRequest, std::move(message)}; }

// Takes a quoted field from behind its first quote.
Result<std::string> TakeQuoted(std::string_view* rest) {
  std::string field;
  for (;;) {
    size_t quote = rest->find('"');
    if (quote == std::string_view::npos) return Error(BadLine("a quote is not closed"));
    field += rest->substr(0, quote);
    rest->remove_prefix(quote + 1);
    if (!rest->starts_with('"')) return field;
    field += '"';
    rest->remove_prefix(1);
  }
}

}  // namespace

Result<std::vector<std::string>> ParseCsvLine(std::string_view line) {
  std::vector<std::string> fields;
  for (;;) {
    if (line.starts_with('"')) {
      line.remove_prefix(1);
      Result<std::string> field = TakeQuoted(&line);
      if (!field) return Error(field.error());
      fields.push_back(std::move(*field));
      if (!line.empty() && line[0] != ',') return Error(BadLine("text behind a closing quote"));
    } else {
      size_t comma = std::min(line.find(','), line.size());
      fields.emplace_back(line.substr(0, comma));
      line.remove_prefix(comma);
    }
    if (line.empty()) return fields;
    line.remove_prefix(1);
  }
}

UserImport::UserImport(Run run, LineFailed line_failed, Advanced advanced)
    : run_(std::move(run)), line_failed_(std::move(line_failed)), advanced_(std::move(advanced)) {}

Result<ImportOutcome> UserImport::Import(std::istream& input) {
  for (std::string line; std::getline(input, line);) {
    ++line_;
    bytes_ += line.size() + 1;
    std::string_view text = line;
    if (line_ == 1 && text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // Excel's BOM
    if (text.ends_with('\r')) text.remove_suffix(1);
    if (text.empty()) continue;
    if (Status status = Add(text); !status.ok()) Fail(line_, status.message());
    if (batch_weight_ < kBatchUsers && batch_bytes_ < kBatchBytes) continue;
    if (Status status = Flush(); !status.ok()) return Error(status);
  }
  if (input.bad()) return Error(Code::kIoError, "the file can't be read to its end");
  if (Status status = Flush(); !status.ok()) return Error(status);
  return outcome_;
}

Status UserImport::Add(std::string_view line) {
  Result<std::vector<std::string>> fields = ParseCsvLine(line);
  if (!fields) return fields.error();
  if (fields->size() < 2 || fields->size() > 3) {
    return BadLine("a line has 2 or 3 fields: id,password[,key]");
  }
  json user = {{"username", (*fields)[0]}};
  bool password = !(*fields)[1].empty();
  if (password) user["password"] = std::move((*fields)[1]);
  if (fields->size() == 3 && !(*fields)[2].empty()) user["key"] = std::move((*fields)[2]);
  try {
    batch_bytes_ += user.dump().size() + 1;
  } catch (const json::exception&) {
    return BadLine("the line is not UTF-8");
  }
  batch_weight_ += password ? kPasswordWeight : 1;
  batch_.push_back(std::move(user));
  batch_lines_.push_back(line_);
  return Status();
}

Status UserImport::Flush() {
  if (batch_.empty()) return Status();
  json names = json::array();
  for (const json& user : batch_) names.push_back(user["username"]);
  json command = {{"command", "createUsers"}, {"users", std::exchange(batch_, json::array())}};
  std::vector<uint64_t> lines = std::exchange(batch_lines_, {});
  batch_bytes_ = 0;
  batch_weight_ = 0;
  Result<json> data = run_(std::move(command));
  if (!data) return data.error();
  outcome_.created += data->value("created", uint64_t{0});
  outcome_.existing += data->value("existing", uint64_t{0});
  size_t next = 0;  // failures come in the batch's order, by name
  for (const json& failure : data->value("failed", json::array())) {
    while (next < names.size() && names[next] != failure.value("username", json())) ++next;
    Fail(next < names.size() ? lines[next++] : line_, failure.value("error", "refused"));
  }
  if (advanced_) advanced_(outcome_.created + outcome_.existing + outcome_.failed, bytes_);
  return Status();
}

void UserImport::Fail(uint64_t line, const std::string& why) {
  ++outcome_.failed;
  if (line_failed_) line_failed_(line, why);
}

}  // namespace parley
