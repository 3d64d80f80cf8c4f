#include "plugin/io/known_broker.h"

#include <string>

#include "tests/catch.h"

namespace parley::io {
namespace {

std::string Constants(const std::string& starting, const std::string& version) {
  return std::string("\0.data\0", 7) + version + '\0' + starting + std::string("\0end\0", 5);
}

const char* Find(const std::string& constants) {
  return FindVersion({constants.data(), constants.size()});
}

const char kStarting[] = "mosquitto version %s starting";

TEST_CASE("the versions that were tried are known by their constants") {
  for (const char* version : {"2.0.11", "2.0.21"}) {
    const char* found = Find(Constants(kStarting, version));
    REQUIRE(found != nullptr);
    CHECK(std::string(found) == version);
  }
}

TEST_CASE("other versions, other programs and likenesses are not") {
  for (const char* version : {"2.0.1", "2.0.110", "12.0.11", "2.0.12", "2.1.0", "1.6.15", ""}) {
    CHECK(Find(Constants(kStarting, version)) == nullptr);
  }
  CHECK(Find(Constants("mosquitto_sub version %s starting", "2.0.11")) == nullptr);
  CHECK(Find(Constants("mosquitto version %s starting soon", "2.0.11")) == nullptr);
  CHECK(Find("") == nullptr);
}

#ifndef __SANITIZE_ADDRESS__  // which puts what mustn't be read between the program's constants
TEST_CASE("a program's code is its own, not its libraries'") {
  Program program = FindProgram();
  CHECK(program.code.Contains(reinterpret_cast<const void*>(&Constants)));
  CHECK(!program.code.Contains(reinterpret_cast<const void*>(&std::fopen)));
  CHECK(!program.code.Contains(nullptr));
}
#endif

}  // namespace
}  // namespace parley::io
