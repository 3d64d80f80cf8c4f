// How an account proves who it is: passwords, access tokens, and the secret behind both.
//
// Passwords are stored as argon2id strings (libsodium crypto_pwhash_str, which carry their own
// parameters) over a keyed BLAKE2b of the password. The cost is low on purpose, one pass over
// password_memory_kib (4 MiB take about 2 ms): a login should be decided within the 4 ms that the
// broker's thread may wait. The key, which is not in the database, makes up for it: who steals the
// database alone can't try passwords at all. Raise the memory where logins may take longer; hashes
// made before are replaced at the next login.
//
// Tokens are JWTs (RFC 7519) signed with HMAC-SHA256 and this header only; another algorithm is
// never looked at (RFC 8725 §3.1). Claims: sub, iat, exp; dev, the client id, where the token is
// good for one device alone; and adm for parleyctl's own login.
//
// Both keys are derived from <data>/secret. Without that file no password and no token is valid, so
// it belongs in every backup, apart from the database.
//
// Threads: any; immutable. HashPassword and VerifyPassword take milliseconds and memory: never on
// the broker's thread. Tokens and fingerprints take microseconds.
#ifndef PARLEY_STORAGE_CREDENTIALS_H_
#define PARLEY_STORAGE_CREDENTIALS_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "storage/env.h"
#include "storage/status.h"
#include "storage/types.h"

namespace parley {

inline constexpr size_t kPasswordBytesMax = 1024;
inline constexpr size_t kPasswordMemoryKibDefault = 4096;
inline constexpr int64_t kTokenTtlMaxS = 10 * 366 * 24 * 3600;
// Of a device that a token can be issued for. A token is 1024 bytes at most.
inline constexpr size_t kTokenDeviceBytesMax = 256;

// The user name of parleyctl's own login. No account can have it: not a valid id.
inline constexpr std::string_view kControlUser = "$parleyctl";

enum class PasswordCheck {
  kWrong,
  kRight,
  kRightButRehash,  // hashed with other parameters than today's
};

struct TokenClaims {
  std::string subject;
  int64_t issued_ms = 0;
  int64_t expires_s = 0;
  bool admin = false;
  std::string device;  // empty: good for any
};

// The 16 bytes that stand for a user and a password in the caches of one process.
using Fingerprint = std::array<uint8_t, 16>;

class Credentials {
 public:
  static constexpr size_t kKeyBytes = 32;
  using Key = std::array<uint8_t, kKeyBytes>;

  // Reads the directory's secret.
  static Result<Credentials> Load(const std::string& data_dir, size_t password_memory_kib,
                                  Env* env);

  // kBadRequest: empty or longer than kPasswordBytesMax.
  Result<std::string> HashPassword(std::string_view password) const;
  PasswordCheck VerifyPassword(const std::string& hash, std::string_view password) const;
  // The hash of a password that nobody has, so that unknown users cost what known ones do.
  const std::string& dummy_hash() const { return dummy_hash_; }

  // `device`: a client id of at most kTokenDeviceBytesMax, as the broker takes one: UTF-8 without
  // control characters. Empty: any.
  std::string IssueToken(std::string_view subject, int64_t ttl_s, bool admin = false,
                         std::string_view device = {}) const;
  // True for what is one of our tokens by its header: it is then never tried as a password.
  static bool IsToken(std::string_view password);
  // Signature, exp, and that it was issued to `user`. Whether it was voided since
  // (tokens_after_ms), for which device it is, and whether the account may log in is the caller's
  // to check. kDenied says why.
  Result<TokenClaims> VerifyToken(std::string_view token, std::string_view user) const;

  // An API key's secret: `<key>.` and 256 random bits. Only its hash is kept.
  std::string MakeKeySecret(const KeyName& key) const;
  // SHA-256 in hex: what has that many random bits needs no slower one.
  static std::string KeySecretHash(std::string_view secret);
  // True where `hash` is the secret's, in a time that tells nothing of it. No hash matches none.
  static bool KeySecretMatches(std::string_view hash, std::string_view secret);
  // The key that a secret names, right or not.
  static KeyName KeyOfSecret(std::string_view secret);

  Fingerprint FingerprintOf(std::string_view user, std::string_view password) const;

 private:
  Credentials(Env* env, size_t password_memory_kib) : env_(env), memory_kib_(password_memory_kib) {}

  std::string Pepper(std::string_view password) const;
  std::string Sign(std::string_view text) const;

  Env* env_;
  size_t memory_kib_;
  Key pepper_key_;
  Key token_key_;
  Key fingerprint_key_;  // random, of this process
  std::string dummy_hash_;
};

}  // namespace parley

template <>
struct std::hash<parley::Fingerprint> {
  size_t operator()(const parley::Fingerprint& fingerprint) const noexcept {
    size_t value;  // it is uniform already
    static_assert(sizeof value <= sizeof fingerprint);
    __builtin_memcpy(&value, fingerprint.data(), sizeof value);
    return value;
  }
};

#endif  // PARLEY_STORAGE_CREDENTIALS_H_
