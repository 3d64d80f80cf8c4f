// How everything in Parley says that it failed: a closed code and a message for people.
//
// The codes are those a client can see (PROTOCOL: errors), and two that only an operator sees.
// Exceptions cross neither a thread nor a C callback; libraries that throw are fenced where they
// are called.
#ifndef PARLEY_STORAGE_STATUS_H_
#define PARLEY_STORAGE_STATUS_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace parley {

enum class Code {
  kOk,
  kBadRequest,   // malformed, unknown member, bad id, out of range
  kTooLarge,     // a body or page over its limit
  kDenied,       // not yours, not a member, not an admin
  kNotFound,     // no such account, group or message
  kConflict,     // exists already; the same id with another content
  kQuota,        // over a rate or quota
  kBusy,         // a bounded queue is full; try again
  kUnavailable,  // the store can't be read or written now
  kCorruption,   // a checksum or an invariant of stored data failed; the message names the file
  kIoError,      // the operating system refused; the message names the file and the call
};
inline constexpr size_t kCodes = static_cast<size_t>(Code::kIoError) + 1;

// The code as clients and logs spell it: "not_found".
std::string_view CodeName(Code code);
// None for what is no error's name.
std::optional<Code> CodeNamed(std::string_view name);

class [[nodiscard]] Status {
 public:
  Status() = default;  // success
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  // "not_found: no account 'bob'", or "ok".
  std::string ToString() const;

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

template <class T>
using Result = tl::expected<T, Status>;

inline tl::unexpected<Status> Error(Code code, std::string message) {
  return tl::make_unexpected(Status(code, std::move(message)));
}
inline tl::unexpected<Status> Error(Status status) {
  return tl::make_unexpected(std::move(status));
}

}  // namespace parley

#endif  // PARLEY_STORAGE_STATUS_H_
