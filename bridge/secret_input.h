// Passwords that come in by a file or standard input, never by the command line, where everybody on
// the machine could read them.
#ifndef PARLEY_BRIDGE_SECRET_INPUT_H_
#define PARLEY_BRIDGE_SECRET_INPUT_H_

#include <string>

#include "storage/status.h"

namespace parley {

// The first line of the file, without its line break.
Result<std::string> ReadPasswordFile(const std::string& path);

// From a terminal: asked for twice, without echo. Else the first line of standard input; empty
// where there is none.
Result<std::string> AskPassword(const std::string& whose);

}  // namespace parley

#endif  // PARLEY_BRIDGE_SECRET_INPUT_H_
