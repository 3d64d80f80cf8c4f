import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { Chat } from '../../src/chat/chat';
import { MemoryStorage } from '../../src/chat/storage';
import { FakeServer, until } from './fake_server';

const login = { user: 'alice', device: 'alice:web-x-1', secret: 'token' };

async function start(context: TestContext, server: FakeServer, storage = new MemoryStorage()): Promise<Chat> {
  const chat = new Chat(login, server.open, storage, () => {});
  context.after(() => chat.stop());
  chat.start();
  await until(() => chat.loaded);
  return chat;
}
const bodies = (chat: Chat, talk: 'chat/bob' | 'chat/carol' = 'chat/bob') => chat.talk(talk).messages.map(({ body }) => body);

test('the conversations come with what is unread', async (context) => {
  const server = new FakeServer('alice');
  server.store({ body: 'one' });
  server.store({ body: 'two' });
  server.store({ from: 'carol', body: 'three' });
  const chat = await start(context, server);
  assert.deepEqual(chat.list.map(({ id, unread }) => [id, unread]), [['chat/carol', 1], ['chat/bob', 2]]);
});

test('a gap in the numbers is filled before what comes after it is shown', async (context) => {
  const server = new FakeServer('alice');
  const chat = await start(context, server);
  await chat.open('chat/bob');
  server.store({ body: 'one' });
  server.store({ body: 'two' }, false);
  server.store({ body: 'three' });
  await until(() => bodies(chat).length === 3);
  assert.deepEqual(bodies(chat), ['one', 'two', 'three']);
});

test('after a lost connection it goes on by number, without loss or doubles', async (context) => {
  const server = new FakeServer('alice');
  const chat = await start(context, server);
  await chat.open('chat/bob');
  server.store({ body: 'one' });
  server.cut();
  server.store({ body: 'two' });
  server.store({ body: 'three' });
  await until(() => chat.current);
  server.deliver(2); // the server catches the device up by itself, too
  server.deliver(3);
  server.store({ body: 'four' });
  assert.deepEqual(bodies(chat), ['one', 'two', 'three', 'four']);
  assert.equal(server.links, 2);
});

test('what was written while the connection was away is sent once it is back, in its order', async (context) => {
  const server = new FakeServer('alice');
  const chat = await start(context, server);
  server.cut();
  chat.send('chat/bob', 'message', 'one');
  chat.send('chat/bob', 'message', 'two');
  assert.equal(server.sent().length, 0);
  await until(() => server.log.length === 2 && chat.outbox.all.length === 0);
  assert.deepEqual(server.log.map(({ body }) => body), ['one', 'two']);
});

test('a message that was stored without its sender hearing of it is stored once', async (context) => {
  const server = new FakeServer('alice');
  const chat = await start(context, server);
  await chat.open('chat/bob');
  server.answers = false;
  chat.send('chat/bob', 'message', 'one');
  assert.equal(chat.outbox.all.length, 1);
  server.cut();
  server.answers = true;
  await until(() => chat.current);
  await until(() => chat.outbox.all.length === 0);
  assert.equal(server.log.length, 1);
  assert.deepEqual(bodies(chat), ['one']);
});

test('a reload sends what waited, with the same id', async (context) => {
  const server = new FakeServer('alice');
  const storage = new MemoryStorage();
  const first = await start(context, server, storage);
  server.stores = false;
  first.send('chat/bob', 'message', 'one');
  first.stop();
  server.stores = true;
  const second = await start(context, server, storage);
  await until(() => second.outbox.all.length === 0);
  const [before, after] = server.sent();
  assert.equal(before.id, after.id);
  assert.equal(server.log.length, 1);
});

test('a refused message says why and is kept until it is dropped', async (context) => {
  const server = new FakeServer('alice');
  const chat = await start(context, server);
  server.stores = false;
  chat.send('chat/nobody', 'message', 'one');
  const [{ id }] = chat.outbox.all as [{ id: string }];
  server.send(`answer/${login.device}`, { ok: false, topic: 'chat/nobody', id, error: { code: 'not_found', message: 'no account' } });
  assert.equal(chat.outbox.find(id)?.error?.code, 'not_found');
  chat.drop(id);
  assert.equal(chat.outbox.all.length, 0);
});

test('a busy server gets the message again, after the time that it names', async (context) => {
  const server = new FakeServer('alice');
  const chat = await start(context, server);
  server.stores = false;
  chat.send('chat/bob', 'message', 'one');
  const [{ id }] = chat.outbox.all as [{ id: string }];
  server.stores = true;
  server.send(`answer/${login.device}`, { ok: false, topic: 'chat/bob', id, error: { code: 'busy', message: '', retry_after_ms: 20 } });
  assert.equal(chat.outbox.find(id)?.error, undefined);
  await until(() => server.log.length === 1);
});

test('"read" never passes a message that is unread in another conversation', async (context) => {
  const server = new FakeServer('alice');
  const chat = await start(context, server);
  server.store({ body: 'one' });
  server.store({ from: 'carol', body: 'two' });
  server.store({ body: 'three' });
  await chat.open('chat/bob');
  chat.markRead(chat.talk('chat/bob'));
  await until(() => server.receipts().some((receipt) => 'read' in receipt));
  assert.deepEqual(server.receipts().at(-1), { delivered: 3, read: 1 });
  chat.markRead(chat.talk('chat/carol'));
  await until(() => server.receipts().length > 1);
  assert.deepEqual(server.receipts().at(-1), { read: 3 });
});

test('what was read stays read through a reload, whatever else is unread', async (context) => {
  const server = new FakeServer('alice');
  const storage = new MemoryStorage();
  server.store({ from: 'carol', body: 'one' });
  server.store({ body: 'two' });
  const first = await start(context, server, storage);
  first.markRead(first.talk('chat/bob'));
  first.stop();
  server.store({ body: 'three' });
  const second = await start(context, server, storage);
  assert.deepEqual(second.list.map(({ id, unread }) => [id, unread]), [['chat/bob', 1], ['chat/carol', 1]]);
});

test('another epoch of the log drops what is held and begins again', async (context) => {
  const server = new FakeServer('alice');
  const chat = await start(context, server);
  await chat.open('chat/bob');
  server.store({ body: 'lost by a restored backup' });
  server.cut();
  server.log = [];
  server.epoch = 'second';
  server.store({ body: 'one' });
  await until(() => chat.current && bodies(chat).length === 1);
  assert.deepEqual(bodies(chat), ['one']);
});

test('what arrives while a conversation is being read is shown, though its page doesn\'t have it', async (context) => {
  const server = new FakeServer('alice');
  server.store({ body: 'one' });
  const chat = await start(context, server);
  const opened = chat.open('chat/bob');
  const page = server.log.slice();
  server.history = () => page;
  server.store({ body: 'two' });
  await opened;
  assert.deepEqual(bodies(chat), ['one', 'two']);
});

test('marks tell how far a message is', async (context) => {
  const server = new FakeServer('alice');
  const chat = await start(context, server);
  await chat.open('chat/bob');
  chat.send('chat/bob', 'message', 'one');
  await until(() => bodies(chat).length === 1);
  const talk = chat.talk('chat/bob');
  const mark = () => chat.progress(talk, talk.messages[0]!);
  assert.equal(mark(), 'stored');
  server.send('receipt/alice', { by: 'bob', delivered: 1, ts: 1 });
  assert.equal(mark(), 'delivered');
  server.send('receipt/alice', { by: 'bob', read: 1, ts: 1 });
  assert.equal(mark(), 'read');
});

test('history that can\'t be read now is said, and read on request', async (context) => {
  const server = new FakeServer('alice');
  server.store({ body: 'one' });
  const chat = await start(context, server);
  server.refuse.history = { code: 'unavailable', message: '' };
  await chat.open('chat/bob');
  assert.equal(chat.talk('chat/bob').older, 'failed');
  server.refuse = {};
  await chat.loadOlder(chat.talk('chat/bob'));
  assert.deepEqual(bodies(chat), ['one']);
});
