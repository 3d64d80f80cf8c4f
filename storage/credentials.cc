#include "storage/credentials.h"

#include <sodium.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "storage/data_dir.h"

namespace parley {
namespace {

using nlohmann::json;

constexpr int kVariant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
constexpr unsigned kPasswordPasses = 1;
constexpr size_t kTokenBytesMax = 1024;
// {"alg":"HS256","typ":"JWT"}, and the dot after it.
constexpr std::string_view kTokenHead = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.";

const uint8_t* Bytes(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

std::string ToBase64(std::string_view data) {
  std::string text(sodium_base64_encoded_len(data.size(), kVariant), '\0');
  sodium_bin2base64(text.data(), text.size(), Bytes(data), data.size(), kVariant);
  text.pop_back();  // the terminating zero
  return text;
}

bool FromBase64(std::string_view text, std::string* data) {
  data->resize(text.size());
  size_t bytes = 0;
  const char* end = nullptr;
  int rc = sodium_base642bin(reinterpret_cast<uint8_t*>(data->data()), data->size(), text.data(),
                             text.size(), nullptr, &bytes, &end, kVariant);
  data->resize(bytes);
  return rc == 0 && end == text.data() + text.size();
}

// The claims of a token whose signature is good, so only we can have written them.
Result<TokenClaims> ParseClaims(std::string_view text) {
  json claims = json::parse(text, nullptr, false);
  if (!claims.is_object()) return Error(Code::kDenied, "malformed token");
  auto number = [&](const char* name) {
    auto it = claims.find(name);
    return it != claims.end() && it->is_number() ? it->get<double>() : -1;
  };
  auto sub = claims.find("sub");
  double iat = number("iat");
  double exp = number("exp");
  // 2^53: whole numbers up to there survive a double, and ms of them an int64.
  bool sane = iat >= 0 && iat < 9e15 / 1000 && exp >= 0 && exp < 9e15;
  if (sub == claims.end() || !sub->is_string() || !sane) {
    return Error(Code::kDenied, "malformed token");
  }
  auto adm = claims.find("adm");
  auto dev = claims.find("dev");
  if (dev != claims.end() && !dev->is_string()) return Error(Code::kDenied, "malformed token");
  return TokenClaims{.subject = sub->get<std::string>(),
                     .issued_ms = std::llround(iat * 1000),
                     .expires_s = static_cast<int64_t>(exp),
                     .admin = adm != claims.end() && *adm == true,
                     .device = dev != claims.end() ? dev->get<std::string>() : std::string()};
}

}  // namespace

Result<Credentials> Credentials::Load(const std::string& data_dir, size_t password_memory_kib,
                                      Env* env) {
  if (sodium_init() < 0) return Error(Code::kIoError, "libsodium can't be initialized");
  if (password_memory_kib * 1024 < crypto_pwhash_argon2id_MEMLIMIT_MIN ||
      password_memory_kib > (size_t{1} << 20)) {
    return Error(Code::kBadRequest, "password memory must be 8 to 1048576 KiB");
  }
  Result<std::string> secret = env->ReadFile(SecretPath(data_dir));
  if (!secret) return Error(secret.error());
  if (secret->size() != kKeyBytes) {
    return Error(Code::kCorruption, SecretPath(data_dir) + " has " +
                                        std::to_string(secret->size()) +
                                        " bytes instead of 32: restore it from a backup");
  }
  static_assert(crypto_kdf_KEYBYTES == kKeyBytes && crypto_kdf_CONTEXTBYTES == 8);
  Credentials credentials(env, password_memory_kib);
  char context[crypto_kdf_CONTEXTBYTES] = "parley";
  auto derive = [&](uint64_t id, Key* key) {
    crypto_kdf_derive_from_key(key->data(), key->size(), id, context, Bytes(*secret));
  };
  derive(1, &credentials.pepper_key_);
  derive(2, &credentials.token_key_);
  sodium_memzero(secret->data(), secret->size());
  env->Random(credentials.fingerprint_key_.data(), kKeyBytes);

  std::string nobodys(32, '\0');
  env->Random(nobodys.data(), nobodys.size());
  Result<std::string> dummy = credentials.HashPassword(nobodys);
  if (!dummy) return Error(dummy.error());
  credentials.dummy_hash_ = *dummy;
  return credentials;
}

Result<std::string> Credentials::HashPassword(std::string_view password) const {
  if (password.empty()) return Error(Code::kBadRequest, "the password is empty");
  if (password.size() > kPasswordBytesMax) {
    return Error(Code::kBadRequest,
                 "the password is longer than " + std::to_string(kPasswordBytesMax) + " bytes");
  }
  std::string peppered = Pepper(password);
  char hash[crypto_pwhash_argon2id_STRBYTES];
  if (crypto_pwhash_argon2id_str(hash, peppered.data(), peppered.size(), kPasswordPasses,
                                 memory_kib_ * 1024) != 0) {
    return Error(Code::kBusy, "not enough memory to hash a password");
  }
  return std::string(hash);
}

PasswordCheck Credentials::VerifyPassword(const std::string& hash,
                                          std::string_view password) const {
  std::string peppered = Pepper(password.substr(0, kPasswordBytesMax));
  int rc = crypto_pwhash_argon2id_str_verify(hash.c_str(), peppered.data(), peppered.size());
  if (rc != 0 || password.empty() || password.size() > kPasswordBytesMax) {
    return PasswordCheck::kWrong;
  }
  bool stale =
      crypto_pwhash_argon2id_str_needs_rehash(hash.c_str(), kPasswordPasses, memory_kib_ * 1024);
  return stale ? PasswordCheck::kRightButRehash : PasswordCheck::kRight;
}

std::string Credentials::IssueToken(std::string_view subject, int64_t ttl_s, bool admin,
                                    std::string_view device) const {
  int64_t now_ms = env_->NowMs();
  json claims = {{"sub", subject},
                 {"iat", static_cast<double>(now_ms) / 1000},
                 {"exp", now_ms / 1000 + ttl_s}};
  if (admin) claims["adm"] = true;
  if (!device.empty()) claims["dev"] = device;
  std::string token = std::string(kTokenHead) + ToBase64(claims.dump());
  return token + "." + ToBase64(Sign(token));
}

bool Credentials::IsToken(std::string_view password) { return password.starts_with(kTokenHead); }

Result<TokenClaims> Credentials::VerifyToken(std::string_view token, std::string_view user) const {
  size_t dot = token.rfind('.');
  std::string signature;
  if (!IsToken(token) || token.size() > kTokenBytesMax || dot < kTokenHead.size() ||
      !FromBase64(token.substr(dot + 1), &signature)) {
    return Error(Code::kDenied, "malformed token");
  }
  std::string expected = Sign(token.substr(0, dot));
  if (signature.size() != expected.size() ||
      sodium_memcmp(signature.data(), expected.data(), expected.size()) != 0) {
    return Error(Code::kDenied, "token with a wrong signature");
  }
  std::string text;
  if (!FromBase64(token.substr(kTokenHead.size(), dot - kTokenHead.size()), &text)) {
    return Error(Code::kDenied, "malformed token");
  }
  Result<TokenClaims> claims = ParseClaims(text);
  if (!claims) return claims;
  if (claims->expires_s <= env_->NowMs() / 1000) return Error(Code::kDenied, "token has expired");
  if (claims->subject != user) return Error(Code::kDenied, "token of another user");
  return claims;
}

std::string Credentials::MakeKeySecret(const KeyName& key) const {
  std::string random(32, '\0');
  env_->Random(random.data(), random.size());
  return key.str() + "." + ToBase64(random);
}

std::string Credentials::KeySecretHash(std::string_view secret) {
  std::array<uint8_t, crypto_hash_sha256_BYTES> hash;
  crypto_hash_sha256(hash.data(), Bytes(secret), secret.size());
  std::string hex(2 * hash.size() + 1, '\0');
  sodium_bin2hex(hex.data(), hex.size(), hash.data(), hash.size());
  hex.pop_back();  // the terminating zero
  return hex;
}

bool Credentials::KeySecretMatches(std::string_view hash, std::string_view secret) {
  const std::string given = KeySecretHash(secret);
  return hash.size() == given.size() && sodium_memcmp(hash.data(), given.data(), hash.size()) == 0;
}

KeyName Credentials::KeyOfSecret(std::string_view secret) {
  size_t dot = secret.rfind('.');
  return KeyName(dot == secret.npos ? std::string_view() : secret.substr(0, dot));
}

Fingerprint Credentials::FingerprintOf(std::string_view user, std::string_view password) const {
  crypto_generichash_state state;
  Fingerprint fingerprint;
  uint64_t user_bytes = user.size();  // so that "ab"+"c" is not "a"+"bc"
  crypto_generichash_init(&state, fingerprint_key_.data(), kKeyBytes, fingerprint.size());
  crypto_generichash_update(&state, reinterpret_cast<const uint8_t*>(&user_bytes),
                            sizeof user_bytes);
  crypto_generichash_update(&state, Bytes(user), user.size());
  crypto_generichash_update(&state, Bytes(password), password.size());
  crypto_generichash_final(&state, fingerprint.data(), fingerprint.size());
  return fingerprint;
}

std::string Credentials::Pepper(std::string_view password) const {
  std::string peppered(crypto_generichash_BYTES, '\0');
  crypto_generichash(reinterpret_cast<uint8_t*>(peppered.data()), peppered.size(), Bytes(password),
                     password.size(), pepper_key_.data(), kKeyBytes);
  return peppered;
}

std::string Credentials::Sign(std::string_view text) const {
  std::string signature(crypto_auth_hmacsha256_BYTES, '\0');
  static_assert(crypto_auth_hmacsha256_KEYBYTES == kKeyBytes);
  crypto_auth_hmacsha256(reinterpret_cast<uint8_t*>(signature.data()), Bytes(text), text.size(),
                         token_key_.data());
  return signature;
}

}  // namespace parley
