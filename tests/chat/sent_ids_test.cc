#include "chat/sent_ids.h"

#include <string>

#include "tests/catch.h"

namespace parley {
namespace {

SentIds::Sent SentAs(uint64_t seq) { return {Seq(seq), seq * 7, Lsn(seq), Seq()}; }

TEST_CASE("an id that was sent is known with what came of it, another isn't") {
  SentIds sent;
  CHECK_FALSE(sent.Find("1"));
  sent.Add("1", SentAs(1));
  sent.Add("", SentAs(2));
  REQUIRE(sent.Find("1"));
  CHECK(sent.Find("1")->seq == Seq(1));
  CHECK(sent.Find("1")->content_hash == 7);
  CHECK(sent.Find("")->seq == Seq(2));
  CHECK_FALSE(sent.Find("2"));
  CHECK_FALSE(sent.Find(std::string_view("1\0", 2)));
}

TEST_CASE("an id that is added again keeps its first outcome") {
  SentIds sent;
  sent.Add("1", SentAs(1));
  sent.Add("1", SentAs(9));
  CHECK(sent.size() == 1);
  CHECK(sent.Find("1")->seq == Seq(1));
}

TEST_CASE("the latest ids are known at every step of three rounds, and none that is older") {
  SentIds sent;
  for (uint64_t added = 1; added <= 3 * kSentIdsKept + 5; ++added) {
    sent.Add("id-" + std::to_string(added), SentAs(added));
    const uint64_t oldest = added > kSentIdsKept ? added - kSentIdsKept + 1 : 1;
    for (const uint64_t known : {oldest, (oldest + added) / 2, added}) {
      const auto found = sent.Find("id-" + std::to_string(known));
      REQUIRE(found);
      REQUIRE(found->seq == Seq(known));
    }
    if (oldest > 1) REQUIRE_FALSE(sent.Find("id-" + std::to_string(oldest - 1)));
  }
  CHECK(sent.size() == kSentIdsKept);
}

}  // namespace
}  // namespace parley
