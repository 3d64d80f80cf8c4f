#include "bridge/gateway/json_text.h"

namespace parley::gateway {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

void SkipSpace(std::string_view* text) {
  while (!text->empty() && IsSpace(text->front())) text->remove_prefix(1);
}

// Takes `c` off the front, if it is there.
bool Skip(std::string_view* text, char c) {
  SkipSpace(text);
  if (text->empty() || text->front() != c) return false;
  text->remove_prefix(1);
  return true;
}

// Behind the quote that ends the string that begins at `at`.
size_t EndOfString(std::string_view text, size_t at) {
  for (++at; at < text.size(); ++at) {
    if (text[at] == '"') return at + 1;
    if (text[at] == '\\') ++at;
  }
  return text.size();
}

// Takes one value off the front.
std::string_view TakeValue(std::string_view* text) {
  SkipSpace(text);
  size_t end = 0;
  int depth = 0;
  while (end < text->size()) {
    char c = (*text)[end];
    if (c == '"') {
      end = EndOfString(*text, end);
      continue;
    }
    if (c == '{' || c == '[') ++depth;
    if (depth == 0 && (c == ',' || c == '}' || c == ']')) break;
    if (c == '}' || c == ']') --depth;
    ++end;
  }
  std::string_view value = text->substr(0, end);
  text->remove_prefix(end);
  while (!value.empty() && IsSpace(value.back())) value.remove_suffix(1);
  return value;
}

std::string_view TakeName(std::string_view* text) {
  SkipSpace(text);
  if (text->empty() || text->front() != '"') return {};
  size_t end = EndOfString(*text, 0);
  std::string_view name = text->substr(0, end);
  text->remove_prefix(end);
  return name.size() < 2 ? std::string_view() : name.substr(1, name.size() - 2);
}

}  // namespace

std::vector<JsonMember> MembersOf(std::string_view object) {
  std::vector<JsonMember> members;
  if (!Skip(&object, '{')) return members;
  SkipSpace(&object);
  if (object.empty() || object.front() == '}') return members;
  do {
    std::string_view name = TakeName(&object);
    if (!Skip(&object, ':')) break;
    members.push_back({name, TakeValue(&object)});
  } while (Skip(&object, ','));
  return members;
}

std::vector<std::string_view> ElementsOf(std::string_view array) {
  std::vector<std::string_view> elements;
  if (!Skip(&array, '[')) return elements;
  SkipSpace(&array);
  if (array.empty() || array.front() == ']') return elements;
  do {
    elements.push_back(TakeValue(&array));
  } while (Skip(&array, ','));
  return elements;
}

}  // namespace parley::gateway
