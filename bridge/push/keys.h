// What providers want signed and encrypted, on OpenSSL's EVP; the only file that knows it.
//
// Threads: any; a key is used by one at a time.
#ifndef PARLEY_BRIDGE_PUSH_KEYS_H_
#define PARLEY_BRIDGE_PUSH_KEYS_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "storage/status.h"

struct evp_pkey_st;

namespace parley::push {

// RFC 4648 §5, without padding.
std::string Base64Url(std::string_view bytes);
// kBadRequest: it is none. Padding may be there.
Result<std::string> FromBase64Url(std::string_view text);

std::string HmacSha256(std::string_view key, std::string_view data);
std::string Hex(std::string_view bytes);

// A private key: EC P-256 or RSA.
class PrivateKey {
 public:
  // PEM, PKCS #8 (a .p8 is one) or the older forms. Errors name `what`.
  static Result<PrivateKey> FromPem(std::string_view pem, const std::string& what);
  static Result<PrivateKey> FromFile(const std::string& path);
  static PrivateKey NewP256();

  bool is_p256() const;
  std::string Pem() const;  // PKCS #8
  // P-256: 65 bytes, uncompressed.
  std::string PublicPoint() const;
  // P-256: the shared secret with another's public point. kBadRequest: no point of the curve.
  Result<std::string> Agree(std::string_view point) const;
  // A JWT: ES256 or RS256, as the key is. `header` is given "alg".
  std::string SignJwt(nlohmann::json header, const nlohmann::json& claims) const;

 private:
  explicit PrivateKey(evp_pkey_st* key);
  std::shared_ptr<evp_pkey_st> key_;
};

// RFC 8291: `plain` for the browser with this public point and secret, as the body of a request
// with Content-Encoding aes128gcm. One record: kBadRequest where the point is none, kTooLarge past
// kWebPushPlainBytesMax.
inline constexpr size_t kWebPushPlainBytesMax = 3993;
Result<std::string> EncryptForBrowser(std::string_view plain, std::string_view point,
                                      std::string_view auth);
// The same with what is else made at random, for the RFC's own example.
Result<std::string> EncryptForBrowser(std::string_view plain, std::string_view point,
                                      std::string_view auth, const PrivateKey& sender,
                                      std::string_view salt);

}  // namespace parley::push

#endif  // PARLEY_BRIDGE_PUSH_KEYS_H_
