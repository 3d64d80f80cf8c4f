// The identities and numbers that every room speaks of, each a type of its own.
#ifndef PARLEY_STORAGE_TYPES_H_
#define PARLEY_STORAGE_TYPES_H_

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace parley {

// A string that is an identity. Two kinds don't convert into each other.
template <class Tag>
class Id {
 public:
  Id() = default;
  explicit Id(std::string value) : value_(std::move(value)) {}
  explicit Id(std::string_view value) : value_(value) {}
  explicit Id(const char* value) : value_(value) {}

  const std::string& str() const { return value_; }
  bool empty() const { return value_.empty(); }
  auto operator<=>(const Id&) const = default;

 private:
  std::string value_;
};

using UserId = Id<struct UserTag>;      // [a-z0-9][a-z0-9._-]{0,63}
using GroupId = Id<struct GroupTag>;    // the same alphabet
using DeviceId = Id<struct DeviceTag>;  // an MQTT client id
using KeyName = Id<struct KeyTag>;      // an API key's name, the same alphabet as a user id

inline constexpr size_t kIdBytesMax = 64;

// True for what may be a user id, a group id or a key's name.
constexpr bool ValidId(std::string_view text) {
  auto alnum = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (text.empty() || text.size() > kIdBytesMax || !alnum(text[0])) return false;
  for (char c : text) {
    if (!alnum(c) && c != '.' && c != '_' && c != '-') return false;
  }
  return true;
}

// A place in one user's log: 1, 2, 3, … without gaps. 0 stands before the first.
class Seq {
 public:
  constexpr Seq() = default;
  constexpr explicit Seq(uint64_t value) : value_(value) {}
  constexpr uint64_t value() const { return value_; }
  constexpr Seq Next() const { return Seq(value_ + 1); }
  constexpr auto operator<=>(const Seq&) const = default;

 private:
  uint64_t value_ = 0;
};

// A place in the broker's one journal: transactions are numbered 1, 2, 3, … in the order in which
// they become durable.
class Lsn {
 public:
  constexpr Lsn() = default;
  constexpr explicit Lsn(uint64_t value) : value_(value) {}
  constexpr uint64_t value() const { return value_; }
  constexpr Lsn Next() const { return Lsn(value_ + 1); }
  constexpr auto operator<=>(const Lsn&) const = default;

 private:
  uint64_t value_ = 0;
};

}  // namespace parley

template <class Tag>
struct std::hash<parley::Id<Tag>> {
  size_t operator()(const parley::Id<Tag>& id) const noexcept {
    return std::hash<std::string>()(id.str());
  }
};

#endif  // PARLEY_STORAGE_TYPES_H_
