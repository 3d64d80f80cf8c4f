// Reads accounts from a CSV file and makes them in batches: `id,password[,key]`, no header; an
// empty password means tokens only. A field may be quoted as RFC 4180 says ("a ""b"", c"), but
// holds no line break. Empty lines are skipped.
//
// A line that is wrong is told with its number and the others go on. Accounts that exist are left
// as they are, so that an import that was cut short can be run again.
#ifndef PARLEY_BRIDGE_USER_IMPORT_H_
#define PARLEY_BRIDGE_USER_IMPORT_H_

#include <cstdint>
#include <functional>
#include <istream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "storage/status.h"

namespace parley {

// The fields of one line, or what is wrong with it.
Result<std::vector<std::string>> ParseCsvLine(std::string_view line);

struct ImportOutcome {
  uint64_t created = 0;
  uint64_t existing = 0;
  uint64_t failed = 0;
};

class UserImport {
 public:
  static constexpr size_t kBatchUsers = 500;
  // Of a request. Far below the max_packet_size of the default configuration.
  static constexpr size_t kBatchBytes = 256 << 10;
  // A password takes milliseconds to hash: fewer in a batch, so that progress shows.
  static constexpr size_t kPasswordWeight = 10;

  using Run = std::function<Result<nlohmann::json>(nlohmann::json command)>;
  using LineFailed = std::function<void(uint64_t line, const std::string& why)>;
  using Advanced = std::function<void(uint64_t users, uint64_t bytes)>;

  UserImport(Run run, LineFailed line_failed, Advanced advanced);

  // Reads to the end. An error is one that ends the import; what was made before stays.
  Result<ImportOutcome> Import(std::istream& input);

 private:
  // What is wrong with the line, if it is.
  Status Add(std::string_view line);
  Status Flush();
  void Fail(uint64_t line, const std::string& why);

  const Run run_;
  const LineFailed line_failed_;
  const Advanced advanced_;

  nlohmann::json batch_ = nlohmann::json::array();
  std::vector<uint64_t> batch_lines_;
  size_t batch_bytes_ = 0;
  size_t batch_weight_ = 0;
  uint64_t line_ = 0;
  uint64_t bytes_ = 0;
  ImportOutcome outcome_;
};

}  // namespace parley

#endif  // PARLEY_BRIDGE_USER_IMPORT_H_
