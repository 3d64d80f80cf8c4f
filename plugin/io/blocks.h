// Blocks of bytes for descriptors that hold some: taken when there is something to keep, given back
// when it is gone. Some free ones are kept for the next. One thread.
#ifndef PARLEY_PLUGIN_IO_BLOCKS_H_
#define PARLEY_PLUGIN_IO_BLOCKS_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace parley::io {

inline constexpr size_t kBlockBytes = 4096;
inline constexpr size_t kFreeBlocksMax = 256;

struct Block {
  Block* next;  // while it is free
  char data[kBlockBytes];
};

class Blocks {
 public:
  Blocks() = default;
  ~Blocks();
  Blocks(const Blocks&) = delete;
  Blocks& operator=(const Blocks&) = delete;

  // Null without memory.
  Block* Take();
  void Give(Block* block);
  size_t taken() const { return taken_; }

 private:
  Block* free_ = nullptr;
  size_t free_count_ = 0;
  size_t taken_ = 0;
};

// A stretch of bytes in a block; no block while it is empty.
struct Bytes {
  Block* block = nullptr;
  uint16_t begin = 0;
  uint16_t end = 0;

  bool empty() const { return block == nullptr; }
  size_t size() const { return static_cast<size_t>(end - begin); }
  size_t room() const { return kBlockBytes - end; }
  const char* data() const { return block->data + begin; }

  void Append(const void* bytes, size_t count) {
    std::memcpy(block->data + end, bytes, count);
    end = static_cast<uint16_t>(end + count);
  }
  // Gives the block back with the last byte.
  void Consume(size_t count, Blocks* blocks) {
    begin = static_cast<uint16_t>(begin + count);
    if (begin == end) Clear(blocks);
  }
  void Clear(Blocks* blocks) {
    if (block != nullptr) blocks->Give(block);
    *this = Bytes();
  }
};

inline Blocks::~Blocks() {
  while (free_ != nullptr) {
    Block* next = free_->next;
    std::free(free_);
    free_ = next;
  }
}

inline Block* Blocks::Take() {
  Block* block = free_;
  if (block != nullptr) {
    free_ = block->next;
    --free_count_;
  } else {
    block = static_cast<Block*>(std::malloc(sizeof(Block)));
    if (block == nullptr) return nullptr;
  }
  ++taken_;
  return block;
}

inline void Blocks::Give(Block* block) {
  --taken_;
  if (free_count_ == kFreeBlocksMax) {
    std::free(block);
    return;
  }
  block->next = free_;
  free_ = block;
  ++free_count_;
}

}  // namespace parley::io

#endif  // PARLEY_PLUGIN_IO_BLOCKS_H_
