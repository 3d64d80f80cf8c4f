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
struct Arbitrary<parley::GroupId> {
  static Gen<parley::GroupId> arbitrary() {
    return gen::map(ShortBytes(), [](std::string id) { return parley::GroupId(std::move(id)); });
  }
};

// Up to 1 KiB, any.
inline Gen<std::string> Names() {
  return gen::mapcat(gen::weightedElement<size_t>({{8, 0}, {8, 12}, {1, 1024}}), [](size_t size) {
    return gen::container<std::string>(size, gen::arbitrary<char>());
  });
}

// One of 0 … last.
template <class Enum>
Gen<Enum> UpTo(Enum last) {
  return gen::map(gen::inRange(0, static_cast<int>(last) + 1),
                  [](int value) { return static_cast<Enum>(value); });
}

template <>
struct Arbitrary<parley::MessageType> {
  static Gen<parley::MessageType> arbitrary() { return UpTo(parley::MessageType::kSystem); }
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
struct Arbitrary<parley::GroupEntry> {
  static Gen<parley::GroupEntry> arbitrary() {
    using parley::GroupEntry;
    return gen::build<GroupEntry>(gen::set(&GroupEntry::user), gen::set(&GroupEntry::seq));
  }
};

template <>
struct Arbitrary<parley::GroupSpan> {
  static Gen<parley::GroupSpan> arbitrary() {
    using parley::GroupSpan;
    return gen::build<GroupSpan>(gen::set(&GroupSpan::first), gen::set(&GroupSpan::last));
  }
};

template <>
struct Arbitrary<parley::GroupMember> {
  static Gen<parley::GroupMember> arbitrary() {
    using parley::GroupMember;
    return gen::build<GroupMember>(gen::set(&GroupMember::user),
                                   gen::set(&GroupMember::role, UpTo(parley::GroupRole::kRemoved)),
                                   gen::set(&GroupMember::name, Names()),
                                   gen::set(&GroupMember::spans));
  }
};

template <>
struct Arbitrary<parley::GroupSettings> {
  static Gen<parley::GroupSettings> arbitrary() {
    using parley::GroupSettings;
    return gen::build<GroupSettings>(
        gen::set(&GroupSettings::title, Names()),
        gen::set(&GroupSettings::delivery, UpTo(parley::GroupDelivery::kTopic)),
        gen::set(&GroupSettings::open), gen::set(&GroupSettings::history_all),
        gen::set(&GroupSettings::deleted), gen::set(&GroupSettings::created_ms));
  }
};

inline Gen<parley::GroupMessageRecord> GroupMessages() {
  using parley::GroupMessageRecord;
  auto message = gen::map(Messages(), [](parley::MessageRecord one) {
    one.to = parley::UserId();
    one.to_seq = parley::Seq();
    return one;
  });
  return gen::build<GroupMessageRecord>(
      gen::set(&GroupMessageRecord::group), gen::set(&GroupMessageRecord::gseq),
      gen::set(&GroupMessageRecord::message, message), gen::set(&GroupMessageRecord::entries));
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
                 record),
        gen::map(gen::build<DeviceGoneRecord>(gen::set(&DeviceGoneRecord::user),
                                              gen::set(&DeviceGoneRecord::device, device)),
                 record),
        gen::map(GroupMessages(), record),
        gen::map(gen::build<GroupMarksRecord>(
                     gen::set(&GroupMarksRecord::group), gen::set(&GroupMarksRecord::user),
                     gen::set(&GroupMarksRecord::delivered), gen::set(&GroupMarksRecord::read),
                     gen::set(&GroupMarksRecord::ts_ms)),
                 record),
        gen::map(gen::build<GroupRecord>(
                     gen::set(&GroupRecord::group), gen::set(&GroupRecord::gseq),
                     gen::set(&GroupRecord::settings, gen::arbitrary<GroupSettings>()),
                     gen::set(&GroupRecord::changed)),
                 record),
        gen::map(gen::build<ContactRecord>(
                     gen::set(&ContactRecord::user), gen::set(&ContactRecord::peer),
                     gen::set(&ContactRecord::state, UpTo(ContactState::kAccepted)),
                     gen::set(&ContactRecord::blocked), gen::set(&ContactRecord::blocked_by)),
                 record),
        gen::map(gen::build<PushTargetRecord>(
                     gen::set(&PushTargetRecord::user), gen::set(&PushTargetRecord::device, device),
                     gen::set(&PushTargetRecord::provider, UpTo(PushProvider::kApns)),
                     gen::set(&PushTargetRecord::target), gen::set(&PushTargetRecord::preview),
                     gen::set(&PushTargetRecord::muted), gen::set(&PushTargetRecord::ts_ms)),
                 record),
        gen::map(gen::build<PushJobRecord>(
                     gen::set(&PushJobRecord::id), gen::set(&PushJobRecord::user),
                     gen::set(&PushJobRecord::device, device),
                     gen::set(&PushJobRecord::provider, UpTo(PushProvider::kApns)),
                     gen::set(&PushJobRecord::from), gen::set(&PushJobRecord::group),
                     gen::set(&PushJobRecord::seq), gen::set(&PushJobRecord::gseq),
                     gen::set(&PushJobRecord::body), gen::set(&PushJobRecord::count),
                     gen::set(&PushJobRecord::ts_ms), gen::set(&PushJobRecord::created_ms)),
                 record),
        gen::map(gen::build<PushDoneRecord>(gen::set(&PushDoneRecord::id),
                                            gen::set(&PushDoneRecord::reason),
                                            gen::set(&PushDoneRecord::ts_ms)),
                 record));
  }
};

}  // namespace rc

#endif  // PARLEY_TESTS_STORAGE_RECORD_GEN_H_
