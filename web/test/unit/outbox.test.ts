import assert from 'node:assert/strict';
import test from 'node:test';

import { Outbox, freshId } from '../../src/chat/outbox';
import { MemoryStorage } from '../../src/chat/storage';

const one = (id: string) => ({ id, talk: 'chat/bob' as const, type: 'message' as const, body: id, ts: 1 });
const refused = { code: 'denied', message: 'no' };

test('what was not stored yet survives a reload, with its id and in its order', () => {
  const storage = new MemoryStorage();
  const outbox = new Outbox(storage, 'box');
  outbox.add(one('a'));
  outbox.add(one('b'));
  outbox.add(one('c'));
  assert(outbox.remove('b'));
  assert.deepEqual(new Outbox(storage, 'box').waiting.map(({ id }) => id), ['a', 'c']);
});

test('what is removed is gone, also for the next reload', () => {
  const storage = new MemoryStorage();
  const outbox = new Outbox(storage, 'box');
  outbox.add(one('a'));
  assert(outbox.remove('a'));
  assert(!outbox.remove('a'));
  assert.equal(storage.get('box'), undefined);
});

test('a refused message stays, is not sent by itself, and can be sent again', () => {
  const outbox = new Outbox(new MemoryStorage(), 'box');
  outbox.add(one('a'));
  outbox.add(one('b'));
  outbox.refuse('a', refused);
  outbox.refuse('b', refused);
  assert.deepEqual(outbox.waiting, []);
  outbox.revive('a');
  assert.deepEqual(outbox.waiting, [one('a')]);
  assert.deepEqual(outbox.find('b')?.error, refused);
});

test('ids differ and are what the server takes', () => {
  const ids = new Set(Array.from({ length: 1000 }, freshId));
  assert.equal(ids.size, 1000);
  for (const id of ids) assert.match(id, /^[\w-]{16}$/);
});
