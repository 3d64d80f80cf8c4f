// Access tokens. Nothing is valid that we didn't sign; what we signed says what we said; and claims
// that are ours by their signature, but nonsense, are refused.
//
//   input := kind:u8 …        0: a token as it is; 1: claims, which are signed; 2: what to issue:
//                             ttl:u32 admin:u8 subject "\n" device
#include <sodium.h>

#include <nlohmann/json.hpp>

#include "storage/credentials.h"
#include "storage/data_dir.h"
#include "tests/chat/world.h"
#include "tests/fuzz/fuzz.h"

namespace parley::fuzz {
namespace {

constexpr std::string_view kHead = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.";
const std::string kSecret(Credentials::kKeyBytes, 's');

// A clock that stands, and the secret.
class SecretEnv : public TestEnv {
 public:
  Result<std::string> ReadFile(const std::string&) override { return kSecret; }
};

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string Base64(std::string_view data) {
  constexpr int kVariant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
  std::string text(sodium_base64_encoded_len(data.size(), kVariant), '\0');
  sodium_bin2base64(text.data(), text.size(), Bytes(data), data.size(), kVariant);
  text.pop_back();
  return text;
}

// As Credentials does it, from the same secret.
std::string Signed(std::string_view claims) {
  std::string token = std::string(kHead) + Base64(claims);
  unsigned char key[crypto_auth_hmacsha256_KEYBYTES];
  crypto_kdf_derive_from_key(key, sizeof key, 2, "parley\0", Bytes(kSecret));
  std::string signature(crypto_auth_hmacsha256_BYTES, '\0');
  crypto_auth_hmacsha256(reinterpret_cast<unsigned char*>(signature.data()), Bytes(token),
                         token.size(), key);
  return token + "." + Base64(signature);
}

void CheckClaims(const Credentials& credentials, std::string_view text) {
  auto verified = credentials.VerifyToken(Signed(text), "alice");
  const nlohmann::json claims = nlohmann::json::parse(text, nullptr, false);
  if (!verified) {
    FUZZ_REQUIRE(verified.error().code() == Code::kDenied, verified.error().ToString());
    return;
  }
  FUZZ_REQUIRE(claims["sub"] == "alice" && verified->subject == "alice", std::string(text));
  FUZZ_REQUIRE(claims["exp"].get<double>() >= static_cast<double>(verified->expires_s),
               std::string(text));
  FUZZ_REQUIRE(verified->issued_ms >= 0, std::string(text));
  FUZZ_REQUIRE(verified->admin == (claims.value("adm", nlohmann::json()) == true),
               std::string(text));
  FUZZ_REQUIRE(claims.value("dev", "") == verified->device, std::string(text));
}

void CheckIssued(const Credentials& credentials, Input input) {
  const int64_t ttl_s = input.Number<uint32_t>();
  const bool admin = (input.Byte() & 1) != 0;
  const std::string subject(input.Until('\n'));
  const std::string device(input.rest().substr(0, kTokenDeviceBytesMax));
  auto control = [](unsigned char c) { return c < 0x20; };
  if (!ValidUtf8(device) || std::any_of(device.begin(), device.end(), control)) return;
  if (!ValidId(subject)) return;
  const std::string token = credentials.IssueToken(subject, ttl_s, admin, device);
  FUZZ_REQUIRE(Credentials::IsToken(token), token);
  auto verified = credentials.VerifyToken(token, subject);
  FUZZ_REQUIRE(verified.has_value() == (ttl_s > 0), token);
  if (!verified) return;
  FUZZ_REQUIRE(verified->admin == admin && verified->device == device, token);
  FUZZ_REQUIRE(verified->expires_s == TestEnv().now_ms / 1000 + ttl_s, token);
  FUZZ_REQUIRE(!credentials.VerifyToken(token, subject + "x"), token);
  // Any bit of it.
  const size_t at = static_cast<size_t>(ttl_s) % token.size();
  std::string forged = token;
  forged[at] = static_cast<char>(forged[at] ^ (1 << (ttl_s % 7)));
  FUZZ_REQUIRE(!credentials.VerifyToken(forged, subject), forged);
}

}  // namespace

void Run(std::string_view bytes) {
  static SecretEnv env;
  static const Credentials credentials = *Credentials::Load("/", 8, &env);
  Input input(bytes);
  switch (input.Byte() % 3) {
    case 0:
      FUZZ_REQUIRE(!credentials.VerifyToken(input.rest(), "alice"), std::string(input.rest()));
      FUZZ_REQUIRE(!credentials.VerifyToken(std::string(kHead).append(input.rest()), "alice"), "");
      return;
    case 1:
      return CheckClaims(credentials, input.rest());
    default:
      return CheckIssued(credentials, input);
  }
}

}  // namespace parley::fuzz
