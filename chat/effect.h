// What goes out of the engine: a publish to one session. Released in the order in which the engine
// made them, none before all that was numbered before it is durable.
#ifndef PARLEY_CHAT_EFFECT_H_
#define PARLEY_CHAT_EFFECT_H_

#include <memory>
#include <string>
#include <vector>

#include "chat/command.h"
#include "storage/types.h"

namespace parley {

// Who gets one group message as it stands, on group/<id>.
struct Fanout {
  struct To {
    SessionId session = 0;
    int8_t qos = 0;
  };
  std::string topic;
  std::vector<To> to;
};

struct Effect {
  SessionId session = 0;
  Channel channel = Channel::kAnswer;
  // On kInbox: the number, and the rest of the message's JSON, which all receivers share.
  Seq seq;
  std::shared_ptr<const std::string> rest;
  // On kGroup, in place of `session`: fanout->to[first, end) get '{' and what follows rest's comma.
  std::shared_ptr<const Fanout> fanout;
  uint32_t first = 0;
  uint32_t end = 0;
  // On all others: the payload.
  std::string payload;
  // Nothing is published: the session's connection is ended (its device was removed).
  bool close = false;
  // On kAnswer, MQTT 5: where to and with what correlation data, where the request said so.
  std::string response_topic;
  std::string correlation;

  // The transaction that it tells of; 0: none, or one that was committed before. When the journal
  // refuses that one, it must not be shown.
  Lsn needs;
  // What is answered in its place then: the head of an error answer ("topic", "id", "rid"). Empty:
  // an answer's error has no head, for anything else there is none (the receivers of a message that
  // was not stored).
  std::string failure_head;
};

}  // namespace parley

#endif  // PARLEY_CHAT_EFFECT_H_
