#include "bridge/push/keys.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include <array>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace parley::push {
namespace {

constexpr std::string_view kLetters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr size_t kPointBytes = 65;
constexpr size_t kSaltBytes = 16;
constexpr size_t kTagBytes = 16;
constexpr size_t kNonceBytes = 12;
constexpr size_t kAuthBytes = 16;
constexpr char kCurve[] = "prime256v1";

template <auto F>
struct Free {
  template <class T>
  void operator()(T* object) const {
    F(object);
  }
};
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Free<EVP_PKEY_CTX_free>>;
using Bio = std::unique_ptr<BIO, Free<BIO_free>>;

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* Bytes(std::string* text) { return reinterpret_cast<unsigned char*>(text->data()); }

// For what fails only where memory or the library does.
void Must(bool done, const char* what) {
  if (!done) throw std::runtime_error(std::string("OpenSSL: ") + what);
}

std::string Random(size_t bytes) {
  std::string random(bytes, '\0');
  Must(RAND_bytes(Bytes(&random), static_cast<int>(bytes)) == 1, "RAND_bytes");
  return random;
}

// HKDF-SHA256, extract and expand.
std::string Hkdf(std::string_view salt, std::string_view secret, std::string_view info,
                 size_t bytes) {
  KeyContext context(EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, nullptr));
  EVP_PKEY_CTX* it = context.get();
  std::string derived(bytes, '\0');
  bool done = EVP_PKEY_derive_init(it) > 0 && EVP_PKEY_CTX_set_hkdf_md(it, EVP_sha256()) > 0 &&
              EVP_PKEY_CTX_set1_hkdf_salt(it, Bytes(salt), static_cast<int>(salt.size())) > 0 &&
              EVP_PKEY_CTX_set1_hkdf_key(it, Bytes(secret), static_cast<int>(secret.size())) > 0 &&
              EVP_PKEY_CTX_add1_hkdf_info(it, Bytes(info), static_cast<int>(info.size())) > 0 &&
              EVP_PKEY_derive(it, Bytes(&derived), &bytes) > 0;
  Must(done, "HKDF");
  return derived;
}

std::string EncryptAes128Gcm(std::string_view key, std::string_view nonce, std::string_view plain) {
  std::unique_ptr<EVP_CIPHER_CTX, Free<EVP_CIPHER_CTX_free>> context(EVP_CIPHER_CTX_new());
  EVP_CIPHER_CTX* it = context.get();
  std::string sealed(plain.size() + kTagBytes, '\0');
  int bytes = 0, more = 0;
  bool done = EVP_EncryptInit_ex(it, EVP_aes_128_gcm(), nullptr, Bytes(key), Bytes(nonce)) == 1 &&
              EVP_EncryptUpdate(it, Bytes(&sealed), &bytes, Bytes(plain),
                                static_cast<int>(plain.size())) == 1 &&
              EVP_EncryptFinal_ex(it, Bytes(&sealed) + bytes, &more) == 1 &&
              EVP_CIPHER_CTX_ctrl(it, EVP_CTRL_GCM_GET_TAG, static_cast<int>(kTagBytes),
                                  Bytes(&sealed) + plain.size()) == 1;
  Must(done, "AES-128-GCM");
  return sealed;
}

// A P-256 public key of its point; null: it is none.
std::shared_ptr<EVP_PKEY> PublicKeyOf(std::string_view point) {
  std::unique_ptr<OSSL_PARAM_BLD, Free<OSSL_PARAM_BLD_free>> builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, kCurve, 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                   point.size());
  std::unique_ptr<OSSL_PARAM, Free<OSSL_PARAM_free>> params(OSSL_PARAM_BLD_to_param(builder.get()));
  KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* key = nullptr;
  bool made = EVP_PKEY_fromdata_init(context.get()) > 0 &&
              EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) > 0;
  return made ? std::shared_ptr<EVP_PKEY>(key, EVP_PKEY_free) : nullptr;
}

// JOSE wants r and s one behind the other, 32 bytes each, and no ASN.1.
std::string RawSignature(std::string_view der) {
  const unsigned char* at = Bytes(der);
  std::unique_ptr<ECDSA_SIG, Free<ECDSA_SIG_free>> signature(
      d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  Must(signature != nullptr, "ECDSA signature");
  std::string raw(64, '\0');
  BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), Bytes(&raw), 32);
  BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), Bytes(&raw) + 32, 32);
  return raw;
}

std::string Sign(EVP_PKEY* key, std::string_view data) {
  std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
  size_t bytes = 0;
  bool ready = EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
               EVP_DigestSign(context.get(), nullptr, &bytes, Bytes(data), data.size()) == 1;
  Must(ready, "signing");
  std::string signature(bytes, '\0');
  bool done =
      EVP_DigestSign(context.get(), Bytes(&signature), &bytes, Bytes(data), data.size()) == 1;
  Must(done, "signing");
  signature.resize(bytes);
  return signature;
}

}  // namespace

std::string Base64Url(std::string_view bytes) {
  std::string text;
  uint32_t bits = 0;
  int held = 0;
  for (char byte : bytes) {
    bits = bits << 8 | static_cast<unsigned char>(byte);
    for (held += 8; held >= 6; held -= 6) text += kLetters[bits >> (held - 6) & 63];
  }
  if (held > 0) text += kLetters[bits << (6 - held) & 63];
  return text;
}

Result<std::string> FromBase64Url(std::string_view text) {
  std::string bytes;
  uint32_t bits = 0;
  int held = 0;
  while (text.ends_with('=')) text.remove_suffix(1);
  for (char letter : text) {
    // Some write the other alphabet.
    size_t value = kLetters.find(letter == '+' ? '-' : letter == '/' ? '_' : letter);
    if (value == kLetters.npos) return Error(Code::kBadRequest, "no base64url");
    bits = bits << 6 | static_cast<uint32_t>(value);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes += static_cast<char>(bits >> held & 0xff);
  }
  return bytes;
}

std::string HmacSha256(std::string_view key, std::string_view data) {
  std::string mac(32, '\0');
  unsigned int bytes = 0;
  Must(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), Bytes(data), data.size(),
            Bytes(&mac), &bytes) != nullptr,
       "HMAC");
  return mac;
}

std::string Hex(std::string_view bytes) {
  std::string hex;
  for (unsigned char byte : bytes) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

PrivateKey::PrivateKey(evp_pkey_st* key) : key_(key, EVP_PKEY_free) {}

Result<PrivateKey> PrivateKey::FromPem(std::string_view pem, const std::string& what) {
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  // A key with a passphrase is refused, not asked for on the terminal.
  char none[] = "";
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, none);
  if (key == nullptr) return Error(Code::kBadRequest, what + " holds no private key (PEM)");
  return PrivateKey(key);
}

Result<PrivateKey> PrivateKey::FromFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return Error(Code::kIoError, path + " can't be read");
  return FromPem(text.str(), path);
}

PrivateKey PrivateKey::NewP256() {
  EVP_PKEY* key = EVP_EC_gen(kCurve);
  Must(key != nullptr, "a new key");
  return PrivateKey(key);
}

bool PrivateKey::is_p256() const {
  std::array<char, 32> name{};
  size_t bytes = 0;
  return EVP_PKEY_is_a(key_.get(), "EC") == 1 &&
         EVP_PKEY_get_group_name(key_.get(), name.data(), name.size(), &bytes) == 1 &&
         std::string_view(name.data(), bytes) == kCurve;
}

std::string PrivateKey::Pem() const {
  Bio bio(BIO_new(BIO_s_mem()));
  Must(PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr,
                                     nullptr) == 1,
       "PEM");
  char* text = nullptr;
  long bytes = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<size_t>(bytes)};
}

std::string PrivateKey::PublicPoint() const {
  std::string point(kPointBytes, '\0');
  size_t bytes = 0;
  bool done = EVP_PKEY_get_octet_string_param(key_.get(), OSSL_PKEY_PARAM_PUB_KEY, Bytes(&point),
                                              point.size(), &bytes) == 1 &&
              bytes == kPointBytes;
  Must(done, "a public key");
  return point;
}

Result<std::string> PrivateKey::Agree(std::string_view point) const {
  auto peer = PublicKeyOf(point);
  if (!peer) return Error(Code::kBadRequest, "no point of P-256");
  KeyContext context(EVP_PKEY_CTX_new(key_.get(), nullptr));
  std::string secret(32, '\0');
  size_t bytes = secret.size();
  bool done = EVP_PKEY_derive_init(context.get()) > 0 &&
              EVP_PKEY_derive_set_peer(context.get(), peer.get()) > 0 &&
              EVP_PKEY_derive(context.get(), Bytes(&secret), &bytes) > 0;
  if (!done) return Error(Code::kBadRequest, "no point of P-256");
  return secret;
}

std::string PrivateKey::SignJwt(nlohmann::json header, const nlohmann::json& claims) const {
  bool ec = is_p256();
  header["alg"] = ec ? "ES256" : "RS256";
  std::string text = Base64Url(header.dump()) + "." + Base64Url(claims.dump());
  std::string signature = Sign(key_.get(), text);
  return text + "." + Base64Url(ec ? RawSignature(signature) : signature);
}

Result<std::string> EncryptForBrowser(std::string_view plain, std::string_view point,
                                      std::string_view auth) {
  return EncryptForBrowser(plain, point, auth, PrivateKey::NewP256(), Random(kSaltBytes));
}

Result<std::string> EncryptForBrowser(std::string_view plain, std::string_view point,
                                      std::string_view auth, const PrivateKey& sender,
                                      std::string_view salt) {
  if (plain.size() > kWebPushPlainBytesMax) {
    return Error(Code::kTooLarge, "more than one record of Web Push takes");
  }
  if (point.size() != kPointBytes || auth.size() != kAuthBytes) {
    return Error(Code::kBadRequest, "the subscription's keys have another length");
  }
  auto shared = sender.Agree(point);
  if (!shared) return shared;
  const std::string own = sender.PublicPoint();
  using std::string_literals::operator""s;
  std::string info = "WebPush: info\0"s;
  info += point;
  info += own;
  const std::string secret = Hkdf(auth, *shared, info, 32);
  const std::string key = Hkdf(salt, secret, "Content-Encoding: aes128gcm\0"s, 16);
  const std::string nonce = Hkdf(salt, secret, "Content-Encoding: nonce\0"s, kNonceBytes);
  // RFC 8188: salt, record size, the key's length and the key; then the one record, which ends in
  // 2.
  std::string body(salt);
  body += "\x00\x00\x10\x00"s;
  body += static_cast<char>(kPointBytes);
  body += own;
  body += EncryptAes128Gcm(key, nonce, std::string(plain) + '\x02');
  return body;
}

}  // namespace parley::push
