// What goes out of the engine: a publish to one session. Released in the order in which the engine
// made them, none before all that was numbered before it is durable.
#ifndef PARLEY_CHAT_EFFECT_H_
#define PARLEY_CHAT_EFFECT_H_

#include <memory>
#include <string>

#include "chat/command.h"
#include "storage/types.h"

namespace parley {

struct Effect {
  SessionId session = 0;
  Channel channel = Channel::kAnswer;
  // On kInbox: the number, and the rest of the message's JSON, which all receivers share.
  Seq seq;
  std::shared_ptr<const std::string> rest;
  // On all others: the payload.
  std::string payload;
  // On kAnswer, MQTT 5: where to and with what correlation data, where the request said so.
  std::string response_topic;
  std::string correlation;

  // The transaction that it tells of; 0: none, or one that was committed before. When the journal
  // refuses that one, it must not be shown.
  Lsn needs;
  // What is answered in its place then: the head of an error answer ("topic", "id", "rid"); empty:
  // nothing (the receivers of a message that was not stored).
  std::string failure_head;
};

}  // namespace parley

#endif  // PARLEY_CHAT_EFFECT_H_
