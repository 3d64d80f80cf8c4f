// JSON as text: where the members of an object and the elements of an array stand, so that values
// are passed on byte for byte as they were written (PROTOCOL: a body is).
//
// For text that is known to be valid JSON: the broker's answers, and what ParseObject has taken. Of
// other text the results are meaningless, but never outside of it. Pure functions.
#ifndef PARLEY_BRIDGE_GATEWAY_JSON_TEXT_H_
#define PARLEY_BRIDGE_GATEWAY_JSON_TEXT_H_

#include <string_view>
#include <vector>

namespace parley::gateway {

struct JsonMember {
  std::string_view name;   // between its quotes, with its escapes
  std::string_view value;  // as written
};

std::vector<JsonMember> MembersOf(std::string_view object);
std::vector<std::string_view> ElementsOf(std::string_view array);

}  // namespace parley::gateway

#endif  // PARLEY_BRIDGE_GATEWAY_JSON_TEXT_H_
