// What parley-push signs and encrypts, and where it goes. Other implementations check the same in
// tests/e2e/push_test.cc.
#include <sys/socket.h>

#include <string>

#include "bridge/push/address_rules.h"
#include "bridge/push/keys.h"
#include "bridge/push/provider.h"
#include "tests/catch.h"

namespace parley::push {
namespace {

std::string Bytes(const std::string& base64url) {
  auto bytes = FromBase64Url(base64url);
  REQUIRE(bytes);
  return *bytes;
}

// A P-256 key by its number and its point, as SEC 1 writes it.
PrivateKey KeyOf(const std::string& number, const std::string& point) {
  const std::string head = Bytes("MHcCAQEEIA");
  const std::string curve = Bytes("oAoGCCqGSM49AwEHoUQDQgA");
  std::string pem = Base64Url(head + Bytes(number) + curve + Bytes(point));
  for (char& letter : pem) letter = letter == '-' ? '+' : letter == '_' ? '/' : letter;
  while (pem.size() % 4 != 0) pem += '=';
  std::string lines;
  for (size_t at = 0; at < pem.size(); at += 64) lines += pem.substr(at, 64) + "\n";
  auto key = PrivateKey::FromPem(
      "-----BEGIN EC PRIVATE KEY-----\n" + lines + "-----END EC PRIVATE KEY-----\n", "a test");
  REQUIRE(key);
  return *key;
}

}  // namespace

TEST_CASE("a message is encrypted as in the example of RFC 8291, appendix A") {
  const PrivateKey sender = KeyOf("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw",
                                  "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAm"
                                  "S6TlzAC8wEqKK6PBru3jl7A8");
  auto body =
      EncryptForBrowser("When I grow up, I want to be a watermelon",
                        Bytes("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4"
                              "bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
                        Bytes("BTBZMqHH6r4Tts7J_aSIgg"), sender, Bytes("DGv6ra1nlYgDCS1FRnbzlw"));
  REQUIRE(body);
  CHECK(Base64Url(*body) ==
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWA"
        "mS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxs"
        "j_Qulcy4a-fN");
}

TEST_CASE("a subscription whose keys are none can't be encrypted for") {
  const std::string point = PrivateKey::NewP256().PublicPoint();
  const std::string auth(16, 'a');
  CHECK(EncryptForBrowser("hi", point, auth).has_value());
  std::string off_curve = point;
  off_curve[64] = static_cast<char>(off_curve[64] ^ 1);
  CHECK_FALSE(EncryptForBrowser("hi", off_curve, auth));
  CHECK_FALSE(EncryptForBrowser("hi", point.substr(1), auth));
  CHECK_FALSE(EncryptForBrowser("hi", "", auth));
  CHECK_FALSE(EncryptForBrowser("hi", point, "short"));
  CHECK(EncryptForBrowser(std::string(3993, 'x'), point, auth)->size() == 4096);
  CHECK(EncryptForBrowser(std::string(3994, 'x'), point, auth).error().code() == Code::kTooLarge);
}

TEST_CASE("base64url goes both ways, and only what it is is read") {
  for (const char* text : {"", "a", "ab", "abc", "\xff\xfe\xfd"}) {
    CHECK(*FromBase64Url(Base64Url(text)) == text);
  }
  CHECK(Base64Url("\xff\xff") == "__8");
  CHECK(*FromBase64Url("__8=") == "\xff\xff");
  CHECK(*FromBase64Url("//8=") == "\xff\xff");
  CHECK_FALSE(FromBase64Url("a b"));
}

TEST_CASE("a MAC is as RFC 4231 has it") {
  CHECK(Hex(HmacSha256("Jefe", "what do ya want for nothing?")) ==
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST_CASE("a file without a key, or with a passphrase's, is refused") {
  CHECK_FALSE(PrivateKey::FromFile("/nowhere/at/all"));
  CHECK_FALSE(PrivateKey::FromPem("", "nothing"));
  const PrivateKey key = PrivateKey::NewP256();
  CHECK(PrivateKey::FromPem(key.Pem(), "itself")->PublicPoint() == key.PublicPoint());
}

TEST_CASE("no address of a private network is public") {
  for (const char* address :
       {"127.0.0.1",        "127.255.255.255", "10.0.0.1",        "172.16.0.1",    "172.31.255.255",
        "192.168.1.1",      "169.254.169.254", "100.64.0.1",      "0.0.0.0",       "224.0.0.1",
        "255.255.255.255",  "192.0.2.1",       "198.18.0.1",      "::1",           "::",
        "fe80::1",          "fc00::1",         "fd12::1",         "ff02::1",       "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1",
        "2001::1",          "3fff::1",         "3fff:fff::1"}) {
    CAPTURE(address);
    CHECK_FALSE(IsPublicAddress(std::string(address)));
  }
  for (const char* address : {"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1",
                              "172.32.0.1", "2606:4700:4700::1111", "::ffff:8.8.8.8",
                              "3fff:1000::1", "64:ff9b::808:808", "2a00:1450::1"}) {
    CAPTURE(address);
    CHECK(IsPublicAddress(std::string(address)));
  }
  sockaddr other{};
  other.sa_family = AF_UNIX;
  CHECK_FALSE(IsPublicAddress(&other));
}

TEST_CASE("an origin is scheme, host and port") {
  CHECK(OriginOf("https://push.example/a/b?c") == "https://push.example");
  CHECK(OriginOf("https://push.example:8443/a") == "https://push.example:8443");
  CHECK(OriginOf("https://user:secret@push.example/a") == "https://push.example");
  for (const char* url : {"", "push.example", "file:///etc/passwd", "gopher://x/"}) {
    CAPTURE(url);
    CHECK(OriginOf(url) == "");
  }
}

TEST_CASE("an answer's status says what becomes of the job") {
  using Kind = Outcome::Kind;
  auto kind = [](int status) { return JudgeByStatus({.status = status}).kind; };
  CHECK(kind(200) == Kind::kOk);
  CHECK(kind(201) == Kind::kOk);
  CHECK(kind(301) == Kind::kDrop);
  CHECK(kind(400) == Kind::kDrop);
  CHECK(kind(404) == Kind::kGone);
  CHECK(kind(410) == Kind::kGone);
  CHECK(kind(413) == Kind::kDrop);
  CHECK(kind(408) == Kind::kFailed);
  CHECK(kind(429) == Kind::kFailed);
  CHECK(kind(503) == Kind::kFailed);
  CHECK(kind(0) == Kind::kFailed);
  CHECK(JudgeByStatus({.refused = true}).kind == Kind::kDrop);
  CHECK(JudgeByStatus({.status = 429, .retry_after_s = 7}).retry_after_ms == 7000);
  CHECK(JudgeByStatus({.status = 400, .body = "no\nsuch\x1b[2J"}).reason ==
        "HTTP 400: no such [2J");
}

}  // namespace parley::push
