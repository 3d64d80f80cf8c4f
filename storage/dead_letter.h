// The dead letters of one store: committed transactions that the store could not take, in order, in
// a file of frames (frame.h), `deadletter/store-<n>.log`, of the roster `deadletter/roster.log`.
//
// Owner: the store's writer, whose thread alone calls it. A transaction in it holds only the
// store's own records; one without records says that the store missed nothing up to its number.
#ifndef PARLEY_STORAGE_DEAD_LETTER_H_
#define PARLEY_STORAGE_DEAD_LETTER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "storage/env.h"
#include "storage/record.h"
#include "storage/status.h"
#include "storage/types.h"

namespace parley {

class DeadLetters {
 public:
  using Visitor = std::function<Status(std::vector<Transaction>)>;

  // Reads the file <dir>/<name>.log where there is one; a torn tail is no error. kCorruption:
  // damaged, names the file.
  static Result<DeadLetters> Open(Env* env, const std::string& dir, const std::string& name);

  // Adds the transactions, which follow last(); durable on return. After an error nothing counts as
  // added, and the same or other transactions may be added.
  Status Append(const std::vector<Transaction>& transactions);
  // All of them, in order.
  Status Read(const Visitor& visit) const;
  // Empties it. After an error they may be there again when it is opened the next time.
  Status Clear();

  Lsn last() const { return last_; }             // Lsn(0) where it is empty
  uint64_t letters() const { return letters_; }  // transactions with records
  uint64_t bytes() const { return end_; }        // of the file

 private:
  DeadLetters(Env* env, std::string dir, std::string path)
      : env_(env), dir_(std::move(dir)), path_(std::move(path)) {}

  Status Create(Lsn first);
  Status Walk(const Visitor& visit, uint64_t* end) const;

  Env* env_;
  std::string dir_;
  std::string path_;
  std::unique_ptr<WritableFile> file_;
  uint64_t nonce_ = 0;
  uint64_t end_ = 0;  // 0: there is no file
  Lsn last_;
  uint64_t letters_ = 0;
};

}  // namespace parley

#endif  // PARLEY_STORAGE_DEAD_LETTER_H_
