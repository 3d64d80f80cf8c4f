import assert from 'node:assert/strict';
import test from 'node:test';

import { Talk } from '../../src/chat/talk';
import { type MessageType, type WireMessage } from '../../src/chat/wire';

const message = (seq: number, more: Partial<WireMessage> = {}): WireMessage =>
  ({ seq, type: 'message', id: `m${seq}`, from: 'alice', to: 'bob', ts: seq * 10, body: `text ${seq}`, ...more });
const about = (seq: number, type: MessageType, target: number, more: Partial<WireMessage> = {}): WireMessage =>
  message(seq, { type, ref: { from: 'alice', id: `m${target}` }, ...more });

function openTalk(...messages: WireMessage[]): Talk {
  const talk = new Talk('chat/bob');
  talk.addPage(messages, false);
  return talk;
}
const bodies = (talk: Talk) => talk.messages.map(({ body }) => body);

test('pages and live messages stand in the order of their numbers, each once', () => {
  const talk = openTalk(message(6), message(5));
  talk.add(message(7));
  talk.add(message(7));
  talk.addPage([message(3), message(2)], true);
  assert.deepEqual(talk.messages.map(({ seq }) => seq), [2, 3, 5, 6, 7]);
  assert.equal(talk.older, 'unread');
});

test('an edit changes the text and says so', () => {
  const talk = openTalk(message(1));
  talk.add(about(2, 'edit', 1, { body: 'better' }));
  assert.deepEqual(bodies(talk), ['better']);
  assert.equal(talk.messages[0]?.edited, 20);
});

test('a deleted message has no text, also after a late edit', () => {
  const talk = openTalk(message(1));
  talk.add(about(2, 'retract', 1));
  talk.add(about(3, 'edit', 1, { body: 'back' }));
  assert.deepEqual(bodies(talk), [undefined]);
  assert.equal(talk.messages[0]?.retracted, 20);
});

test('each has one reaction, the last, and takes it back with an empty one', () => {
  const talk = openTalk(message(1));
  talk.add(about(2, 'reaction', 1, { from: 'bob', body: '👍' }));
  talk.add(about(3, 'reaction', 1, { from: 'alice', body: '🎉' }));
  talk.add(about(4, 'reaction', 1, { from: 'bob', body: '😂' }));
  assert.deepEqual(talk.messages[0]?.reactions, [{ from: 'alice', body: '🎉' }, { from: 'bob', body: '😂' }]);
  talk.add(about(5, 'reaction', 1, { from: 'bob', body: '' }));
  assert.deepEqual(talk.messages[0]?.reactions, [{ from: 'alice', body: '🎉' }]);
});

test('messages are replaced, never changed, so that what shows them may compare', () => {
  const talk = openTalk(message(1), message(2));
  const [first, second] = talk.messages;
  talk.add(about(3, 'edit', 1, { body: 'better' }));
  assert.notEqual(talk.messages[0], first);
  assert.equal(first?.body, 'text 1');
  assert.equal(talk.messages[1], second);
});

test('an id is its sender\'s own', () => {
  const talk = openTalk(message(1), message(2, { id: 'm1', from: 'bob', body: 'his' }));
  talk.add(about(3, 'edit', 1, { body: 'hers' }));
  assert.deepEqual(bodies(talk), ['hers', 'his']);
});

test('all others have reached what the last of them has', () => {
  const talk = new Talk('group/readers');
  talk.receipt('bob', { read: 5 });
  talk.receipt('carol', { delivered: 7, read: 3 });
  talk.receipt('carol', { delivered: 6 });
  assert.deepEqual(talk.reached(['bob', 'carol']), { delivered: 5, read: 3 });
  assert.deepEqual(talk.reached(['bob', 'carol', 'dave']), { delivered: 0, read: 0 });
  assert.deepEqual(talk.reached([]), { delivered: 0, read: 0 });
});
