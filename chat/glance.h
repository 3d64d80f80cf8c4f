// What an object that is refused says of itself: the `id` of a message, the `rid` of a request, so
// that its error can be told by it. And what it would be for a parser that takes all that RFC 8259
// allows.
//
// Pure functions, any thread. One pass each over what they are given.
#ifndef PARLEY_CHAT_GLANCE_H_
#define PARLEY_CHAT_GLANCE_H_

#include <string>
#include <string_view>

namespace parley {

// Of a payload that is refused before it is read, no more than this is looked at.
inline constexpr size_t kGlanceBytesMax = 4096;

// The first member of this name at the top level of the object, where it is a string of at most
// `bytes_max` bytes, whatever else is wrong before or behind it. Empty: there is none.
std::string Glance(std::string_view object, std::string_view member, size_t bytes_max);

// The same JSON, or no JSON, as `text`, without the two things that are JSON and that nlohmann's
// parser refuses: half of a surrogate pair (RFC 8259, 8.2), which becomes \ufffd, and a number past
// any double (6), which becomes another.
std::string Representable(std::string_view text);

}  // namespace parley

#endif  // PARLEY_CHAT_GLANCE_H_
