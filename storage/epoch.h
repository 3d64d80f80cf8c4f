// The epoch of a data directory: 16 hex digits in the file <data>/epoch. Clients compare it:
// another one says that the log isn't the one they know, since an older backup was restored.
#ifndef PARLEY_STORAGE_EPOCH_H_
#define PARLEY_STORAGE_EPOCH_H_

#include <string>

#include "storage/env.h"
#include "storage/status.h"

namespace parley {

// The directory's epoch; a new one, durable on return, where there is none. kCorruption where the
// file holds anything else: it goes out to clients as it is.
Result<std::string> ReadEpoch(Env* env, const std::string& data_dir);

}  // namespace parley

#endif  // PARLEY_STORAGE_EPOCH_H_
