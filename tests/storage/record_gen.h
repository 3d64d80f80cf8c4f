// Random records for rapidcheck: any that the grammar can hold.
#ifndef PARLEY_TESTS_STORAGE_RECORD_GEN_H_
#define PARLEY_TESTS_STORAGE_RECORD_GEN_H_

#include <rapidcheck.h>

#include <string>

#include "storage/record.h"

namespace rc {

template <>
struct Arbitrary<parley::Seq> {
  static Gen<parley::Seq> arbitrary() {
    return gen::map(gen::oneOf(gen::arbitrary<uint64_t>(), gen::inRange<uint64_t>(0, 300)),
                    [](uint64_t value) { return parley::Seq(value); });
  }
};

// 1 to 64 bytes, any.
inline Gen<std::string> ShortBytes() {
  return gen::mapcat(gen::inRange<size_t>(1, parley::kIdBytesMax + 1), [](size_t size) {
    return gen::container<std::string>(size, gen::arbitrary<char>());
  });
}

template <>
struct Arbitrary<parley::UserId> {
  static Gen<parley::UserId> arbitrary() {
    return gen::map(ShortBytes(), [](std::string id) { return parley::UserId(std::move(id)); });
  }
};

template <>
struct Arbitrary<parley::MessageType> {
  static Gen<parley::MessageType> arbitrary() {
    using parley::MessageType;
    return gen::element(MessageType::kMessage, MessageType::kEdit, MessageType::kRetract,
                        MessageType::kReaction);
  }
};

template <>
struct Arbitrary<parley::MessageRef> {
  static Gen<parley::MessageRef> arbitrary() {
    using parley::MessageRef;
    return gen::build<MessageRef>(gen::set(&MessageRef::from),
                                  gen::set(&MessageRef::id, ShortBytes()),
                                  gen::set(&MessageRef::from_seq), gen::set(&MessageRef::to_seq));
  }
};

inline Gen<parley::MessageRecord> Messages() {
  using parley::MessageRecord;
  using Ref = std::optional<parley::MessageRef>;
  Gen<Ref> ref = gen::oneOf(
      gen::just(Ref()),
      gen::map(gen::arbitrary<parley::MessageRef>(), [](parley::MessageRef r) { return Ref(r); }));
  return gen::build<MessageRecord>(
      gen::set(&MessageRecord::from), gen::set(&MessageRecord::to),
      gen::set(&MessageRecord::from_seq), gen::set(&MessageRecord::to_seq),
      gen::set(&MessageRecord::ts_ms), gen::set(&MessageRecord::type),
      gen::set(&MessageRecord::id, ShortBytes()), gen::set(&MessageRecord::body),
      gen::set(&MessageRecord::ref, ref), gen::set(&MessageRecord::content_hash));
}

template <>
struct Arbitrary<parley::Record> {
  static Gen<parley::Record> arbitrary() {
    using namespace parley;
    auto record = [](auto value) { return Record(std::move(value)); };
    auto device = gen::map(gen::arbitrary<std::string>(),
                           [](std::string id) { return DeviceId(std::move(id)); });
    return gen::oneOf(
        gen::map(Messages(), record),
        gen::map(gen::build<DeviceCursorRecord>(gen::set(&DeviceCursorRecord::user),
                                                gen::set(&DeviceCursorRecord::device, device),
                                                gen::set(&DeviceCursorRecord::delivered),
                                                gen::set(&DeviceCursorRecord::ts_ms)),
                 record),
        gen::map(
            gen::build<MarksRecord>(gen::set(&MarksRecord::user), gen::set(&MarksRecord::delivered),
                                    gen::set(&MarksRecord::read)),
            record),
        gen::map(gen::build<PeerMarksRecord>(
                     gen::set(&PeerMarksRecord::user), gen::set(&PeerMarksRecord::peer),
                     gen::set(&PeerMarksRecord::delivered), gen::set(&PeerMarksRecord::read),
                     gen::set(&PeerMarksRecord::ts_ms)),
                 record));
  }
};

}  // namespace rc

#endif  // PARLEY_TESTS_STORAGE_RECORD_GEN_H_
