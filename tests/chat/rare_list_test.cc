#include "chat/rare_list.h"

#include <string>

#include "tests/catch.h"

namespace parley {
namespace {

template <class Container>
std::string All(const Container& container) {
  std::string text;
  for (const auto& one : container) text += one;
  return text;
}

TEST_CASE("a rare list is one, and costs a pointer") {
  CHECK(sizeof(RareList<std::string>) == sizeof(void*));
  RareList<std::string> list;
  CHECK(list.empty());
  CHECK(list.size() == 0);
  CHECK(All(list).empty());
  list.RemoveIf([](const std::string&) { return true; });
  for (const char* text : {"a", "b", "c", "d"}) list.push_back(text);
  CHECK(All(list) == "abcd");
  CHECK(list.size() == 4);
  CHECK(list.front() == "a");
  list.pop_front();
  list.RemoveIf([](const std::string& text) { return text == "c"; });
  CHECK(All(list) == "bd");
  list.pop_front();
  list.pop_front();
  CHECK(list.empty());
  CHECK(All(list).empty());
  list.push_back("e");
  list.RemoveIf([](const std::string&) { return true; });
  CHECK(list.empty());
}

TEST_CASE("few pointers keep none, one and many") {
  struct Named {
    std::string name;
  };
  auto names = [](const FewPointers<Named>& few) {
    std::string text;
    for (const Named* one : few) text += one->name;
    return text;
  };
  Named a{"a"}, b{"b"}, c{"c"};
  FewPointers<Named> few;
  CHECK(few.empty());
  CHECK(names(few).empty());
  few.Remove(&a);
  few.Add(&a);
  CHECK(names(few) == "a");
  few.Remove(&b);
  CHECK(few.size() == 1);
  few.Add(&b);
  few.Add(&c);
  CHECK(names(few) == "abc");
  few.Remove(&b);
  CHECK(names(few) == "ac");
  few.Remove(&a);
  CHECK(names(few) == "c");
  CHECK(few.size() == 1);
  few.Add(&a);
  CHECK(names(few) == "ca");
  few.Remove(&a);
  few.Remove(&c);
  CHECK(few.empty());
}

}  // namespace
}  // namespace parley
