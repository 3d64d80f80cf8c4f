#include "storage/frame.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace parley {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers stand as the machine has them");

constexpr std::string_view kMagic = "PARLEYJ1";
constexpr uint32_t kFormat = 1;
constexpr size_t kHeaderBytes = 64;
constexpr size_t kAlign = 8;

template <class T>
void Put(T value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

template <class T>
T Get(std::string_view in, size_t at) {
  T value;
  std::memcpy(&value, in.data() + at, sizeof(value));
  return value;
}

void PutVarint(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}

std::optional<uint64_t> TakeVarint(std::string_view* in) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !in->empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(in->front());
    in->remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

uint64_t FrameChecksum(std::string_view checked, uint64_t nonce, uint64_t offset) {
  return XXH3_64bits_withSeed(checked.data(), checked.size(), nonce + offset);
}

uint64_t Aligned(uint64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

Result<Transaction> TakeTransaction(Lsn first, std::string_view* in) {
  const auto distance = TakeVarint(in);
  const auto records = distance ? TakeVarint(in) : std::nullopt;
  if (!records || *records > in->size()) return Error(Code::kCorruption, "no transaction");
  Transaction transaction{Lsn(first.value() + *distance), {}};
  transaction.records.reserve(*records);
  for (uint64_t i = 0; i < *records; ++i) {
    auto record = DecodeRecord(in);
    if (!record) return Error(std::move(record.error()));
    transaction.records.push_back(std::move(*record));
  }
  return transaction;
}

}  // namespace

std::string EncodeHeader(const SegmentHeader& header) {
  std::string out(kMagic);
  Put(kFormat, &out);
  Put(header.flags, &out);
  Put(header.index, &out);
  Put(header.nonce, &out);
  Put(header.start.value(), &out);
  Put(header.prev_index, &out);
  Put(header.prev_end, &out);
  Put(static_cast<uint64_t>(XXH3_64bits(out.data(), out.size())), &out);
  out.resize(kFramesStart, '\0');
  return out;
}

Result<SegmentHeader> DecodeHeader(std::string_view file) {
  if (file.size() < kHeaderBytes) return Error(Code::kCorruption, "too short for a header");
  if (file.substr(0, kMagic.size()) != kMagic)
    return Error(Code::kCorruption, "not a journal file");
  const size_t checked = kHeaderBytes - sizeof(uint64_t);
  if (Get<uint64_t>(file, checked) != XXH3_64bits(file.data(), checked)) {
    return Error(Code::kCorruption, "the header's checksum is wrong");
  }
  if (Get<uint32_t>(file, 8) != kFormat) {
    return Error(Code::kCorruption, "written by another version of Parley");
  }
  SegmentHeader header;
  header.flags = Get<uint32_t>(file, 12);
  header.index = Get<uint64_t>(file, 16);
  header.nonce = Get<uint64_t>(file, 24);
  header.start = Lsn(Get<uint64_t>(file, 32));
  header.prev_index = Get<uint64_t>(file, 40);
  header.prev_end = Get<uint64_t>(file, 48);
  return header;
}

void AppendFrame(std::span<const Transaction> transactions, Lsn first, std::string* out) {
  const size_t at = out->size();
  out->append(kFrameHeaderBytes, '\0');
  for (const Transaction& transaction : transactions) {
    PutVarint(transaction.lsn.value() - first.value(), out);
    PutVarint(transaction.records.size(), out);
    for (const Record& record : transaction.records) EncodeRecord(record, out);
  }
  const auto bytes = static_cast<uint32_t>(out->size() - at - kFrameHeaderBytes);
  const auto count = static_cast<uint32_t>(transactions.size());
  const uint64_t first_value = first.value();
  std::memcpy(out->data() + at + 8, &bytes, sizeof(bytes));
  std::memcpy(out->data() + at + 12, &count, sizeof(count));
  std::memcpy(out->data() + at + 16, &first_value, sizeof(first_value));
  out->resize(at + Aligned(kFrameHeaderBytes + bytes), '\0');
}

Lsn FirstOf(std::string_view frames) { return Lsn(Get<uint64_t>(frames, 16)); }

size_t SealFrame(std::string* frames, size_t at, uint64_t nonce, uint64_t offset, uint64_t synced) {
  char* frame = frames->data() + at;
  const size_t bytes = kFrameHeaderBytes + Get<uint32_t>(*frames, at + 8);
  std::memcpy(frame + 24, &synced, sizeof(synced));
  const uint64_t checksum = FrameChecksum({frame + 8, bytes - 8}, nonce, offset);
  std::memcpy(frame, &checksum, sizeof(checksum));
  return Aligned(bytes);
}

std::optional<Frame> ParseFrame(std::string_view file, uint64_t nonce, uint64_t offset) {
  if (offset > file.size() || file.size() - offset < kFrameHeaderBytes) return std::nullopt;
  const std::string_view rest = file.substr(offset);
  const uint64_t bytes = kFrameHeaderBytes + Get<uint32_t>(rest, 8);
  if (bytes > rest.size()) return std::nullopt;
  if (Get<uint64_t>(rest, 0) != FrameChecksum(rest.substr(8, bytes - 8), nonce, offset)) {
    return std::nullopt;
  }
  Frame frame;
  frame.offset = offset;
  frame.end = offset + Aligned(bytes);
  frame.count = Get<uint32_t>(rest, 12);
  frame.first = Lsn(Get<uint64_t>(rest, 16));
  frame.synced = Get<uint64_t>(rest, 24);
  frame.payload = rest.substr(kFrameHeaderBytes, bytes - kFrameHeaderBytes);
  if ((frame.count == 0) != frame.payload.empty()) return std::nullopt;  // nobody wrote this
  return frame;
}

Result<std::vector<Transaction>> DecodeFrame(const Frame& frame) {
  std::vector<Transaction> transactions;
  std::string_view in = frame.payload;
  if (frame.count > in.size()) return Error(Code::kCorruption, "too many transactions for a frame");
  transactions.reserve(frame.count);
  for (uint32_t i = 0; i < frame.count; ++i) {
    auto transaction = TakeTransaction(frame.first, &in);
    if (!transaction) return Error(std::move(transaction.error()));
    if (i > 0 && transaction->lsn <= transactions.back().lsn) {
      return Error(Code::kCorruption, "transactions that don't ascend");
    }
    transactions.push_back(std::move(*transaction));
  }
  if (!in.empty()) return Error(Code::kCorruption, "bytes past the last transaction");
  return transactions;
}

Tail ExamineTail(std::string_view file, uint64_t nonce, uint64_t offset, Lsn next) {
  Tail tail;
  if (file.size() < kFrameHeaderBytes) return tail;
  const uint64_t last = file.size() - kFrameHeaderBytes;
  if (offset <= last) tail.torn = Get<uint64_t>(file, offset + 16) == next.value();
  for (uint64_t at = offset; at <= last; at += kAlign) {
    const auto synced = Get<uint64_t>(file, at + 24);
    if (synced <= offset || synced > at || Get<uint64_t>(file, at + 16) < next.value()) continue;
    if (ParseFrame(file, nonce, at)) {
      tail.witness = at;
      return tail;
    }
  }
  return tail;
}

}  // namespace parley
