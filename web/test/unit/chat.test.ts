import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { Chat } from '../../src/chat/chat';
import { MemoryStorage } from '../../src/chat/storage';
import { FakeServer, until } from './fake_server';

const login = { user: 'alice', device: 'alice:web-x-1', secret: () => 'token' };

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

// ---- Groups whose messages aren't in the user's log

const inOwls = (chat: Chat) => chat.talk('group/owls');

test('a topic group is read, live and from where it was after a lost connection', async (context) => {
  const server = new FakeServer('alice');
  server.addTopic('owls');
  server.storeIn('owls', { body: 'one' });
  const chat = await start(context, server);
  assert.equal(inOwls(chat).unread, 1);
  await chat.open('group/owls');
  server.storeIn('owls', { body: 'two' });
  server.cut();
  server.storeIn('owls', { body: 'three' });
  await until(() => server.subscribed.includes('group/owls'));
  server.storeIn('owls', { body: 'four' });
  await until(() => inOwls(chat).messages.length === 4);
  assert.deepEqual(inOwls(chat).messages.map(({ body }) => body), ['one', 'two', 'three', 'four']);
  assert.equal(inOwls(chat).unread, 4);
  chat.markRead(inOwls(chat));
  assert.deepEqual(server.receipts().at(-1), { group: 'owls', read: 4 });
});

test('what was read in a topic group without a connection is told by the next', async (context) => {
  const server = new FakeServer('alice');
  server.addTopic('owls');
  server.storeIn('owls', { body: 'one' });
  const chat = await start(context, server);
  server.cut();
  chat.markRead(inOwls(chat));
  await until(() => server.receipts().some((receipt) => 'group' in receipt));
  assert.deepEqual(server.receipts().filter((receipt) => 'group' in receipt), [{ group: 'owls', read: 1 }]);
});

test('a topic group that one was removed from doesn\'t keep the page from what else there is', async (context) => {
  const server = new FakeServer('alice');
  server.addTopic('bats');
  server.addTopic('owls');
  const chat = await start(context, server);
  server.cut();
  server.removeFrom('bats');
  await until(() => server.subscribed.includes('group/owls'));
  server.storeIn('owls', { body: 'one' });
  assert.equal(inOwls(chat).unread, 1);
  assert.equal(chat.groups.get('bats')?.role, 'none');
  assert.equal(server.links, 2);
});

test('one that refuses for a while is tried again, and the others go on', async (context) => {
  const server = new FakeServer('alice');
  for (const group of ['bats', 'owls']) server.addTopic(group);
  server.mayFollow = (group) => group !== 'bats';
  const chat = await start(context, server);
  assert.deepEqual(server.subscribed.filter((topic) => topic.startsWith('group/')), ['group/owls']);
  server.mayFollow = () => true;
  await until(() => server.subscribed.includes('group/bats'), 10_000);
  assert.equal(server.links, 1);
  assert.equal(chat.groups.get('bats')?.role, 'member');
});

test('who leaves a topic group and joins it again hears it again', async (context) => {
  const server = new FakeServer('alice');
  server.addTopic('owls');
  const chat = await start(context, server);
  server.removeFrom('owls');
  await chat.refreshGroup('owls');
  assert.equal(chat.groups.get('owls')?.role, 'none');
  server.addTopic('owls');
  await chat.refreshGroup('owls');
  await until(() => server.subscribed.includes('group/owls'));
  server.storeIn('owls', { body: 'one' });
  assert.equal(inOwls(chat).unread, 1);
});

test('a group that goes from inboxes to a topic counts by its own numbers what is unread', async (context) => {
  const server = new FakeServer('alice');
  server.groups.push({ group: 'owls', delivery: 'inbox', members: [] });
  server.topics.set('owls', []);
  for (let i = 0; i < 9; i++) server.store({ group: 'owls', gseq: i + 1 });
  const chat = await start(context, server);
  chat.markRead(inOwls(chat));
  server.removeFrom('owls');
  server.addTopic('owls');
  await chat.refreshGroup('owls');
  server.storeIn('owls', { body: 'one' });
  assert.equal(inOwls(chat).lastSeq, 1);
  assert.equal(inOwls(chat).unread, 1);
  chat.markRead(inOwls(chat));
  assert.deepEqual(server.receipts().at(-1), { group: 'owls', read: 1 });
});

test('what is said while a group goes from inboxes to a topic is shown', async (context) => {
  const server = new FakeServer('alice');
  server.groups.push({ group: 'owls', delivery: 'inbox', members: [] });
  const first = server.store({ group: 'owls', gseq: 1, body: 'one' });
  server.topics.set('owls', [first]);
  const chat = await start(context, server);
  await chat.open('group/owls');
  server.groups[0]!.delivery = 'topic';
  server.storeIn('owls', { body: 'two' });
  await chat.refreshGroup('owls');
  server.storeIn('owls', { body: 'three' });
  assert.deepEqual(inOwls(chat).messages.map(({ body }) => body), ['one', 'two', 'three']);
  assert.equal(inOwls(chat).unread, 3);
});

test('a group that goes from a topic to inboxes counts by my numbers again', async (context) => {
  const server = new FakeServer('alice');
  server.addTopic('owls');
  for (let i = 0; i < 9; i++) server.storeIn('owls', { body: 'before' });
  const chat = await start(context, server);
  chat.markRead(inOwls(chat));
  server.groups[0]!.delivery = 'inbox';
  await chat.refreshGroup('owls');
  server.store({ group: 'owls', gseq: 10, body: 'after' });
  assert.equal(inOwls(chat).unread, 1);
});

test('history says how far the members of a group are', async (context) => {
  const server = new FakeServer('alice');
  server.addTopic('owls');
  server.storeIn('owls', { from: 'alice', body: 'one' });
  server.groupReceipts = [{ by: 'bob', delivered: 1, read: 1 }];
  const chat = await start(context, server);
  await chat.open('group/owls');
  await until(() => chat.membersOf('group/owls').length === 2);
  assert.equal(chat.progress(inOwls(chat), inOwls(chat).messages[0]!), 'read');
});

test('the conversation of a group that one is not in is closed, not broken', async (context) => {
  const server = new FakeServer('alice');
  const chat = await start(context, server);
  await chat.open('group/owls');
  await until(() => chat.groups.get('owls')?.role === 'none');
  assert.equal(inOwls(chat).older, 'none');
});

// ---- Behind, refused, and in pages

test('a live gap that is too long to be filled has the page read anew, and nothing is missing from it', async (context) => {
  const server = new FakeServer('alice');
  const chat = await start(context, server);
  await chat.open('chat/bob');
  server.store({ from: 'carol', body: 'hello' });
  for (let i = 0; i < 2100; i++) server.store({ body: `missed ${i}` }, false);
  server.store({ body: 'the last' });
  await until(() => chat.current && bodies(chat).at(-1) === 'the last');
  await until(() => chat.list.length === 2);
  assert.equal(chat.talk('chat/bob').unread, 2101);
});

test('an edit that is refused is dropped and said', async (context) => {
  const server = new FakeServer('alice');
  const refused: string[] = [];
  const chat = new Chat(login, server.open, new MemoryStorage(), () => {}, () => {}, ({ type }, { message }) => refused.push(`${type}: ${message}`));
  context.after(() => chat.stop());
  chat.start();
  await until(() => chat.loaded);
  server.stores = false;
  for (const type of ['edit', 'retract', 'reaction'] as const) {
    chat.send('chat/bob', type, 'x', { from: 'bob', id: 'm1' });
    const { id } = chat.outbox.all.at(-1)!;
    server.send(`answer/${login.device}`, { ok: false, topic: 'chat/bob', id, error: { code: 'denied', message: 'not yours' } });
  }
  assert.deepEqual(refused, ['edit: not yours', 'retract: not yours', 'reaction: not yours']);
  assert.deepEqual(chat.outbox.all, []);
});

test('nothing is sent before the time that a busy server names, be it over a new connection', async (context) => {
  const server = new FakeServer('alice');
  const chat = await start(context, server);
  server.stores = false;
  chat.send('chat/bob', 'message', 'one');
  const [{ id }] = chat.outbox.all as [{ id: string }];
  server.send(`answer/${login.device}`, { ok: false, topic: 'chat/bob', id, error: { code: 'quota', message: '', retry_after_ms: 60_000 } });
  chat.send('chat/bob', 'message', 'two');
  server.cut();
  await until(() => chat.current);
  assert.deepEqual(server.sent().map(({ body }) => body), ['one']);
});

test('conversations come in pages: first all that are unread, then as they are asked for', async (context) => {
  const server = new FakeServer('alice');
  server.pageMax = 2;
  for (const from of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) server.store({ from, body: from });
  server.readTo = 4;
  const chat = await start(context, server);
  assert.deepEqual(chat.list.map(({ id }) => id), ['g', 'f', 'e', 'd', 'c', 'b'].map((user) => `chat/${user}`));
  await chat.loadOlderTalks();
  assert.equal(chat.list.length, 7);
  assert.equal(chat.olderTalks, undefined);
});

test('contacts, groups and members come in pages, and none is left out', async (context) => {
  const server = new FakeServer('alice');
  server.pageMax = 2;
  const ids = ['a', 'b', 'c', 'd', 'e'];
  server.contacts = ids.map((user) => ({ user, state: 'accepted' }));
  for (const group of ids) server.groups.push({ group, delivery: 'inbox', members: ids.map((user) => ({ user, role: 'member' })) });
  const chat = await start(context, server);
  assert.deepEqual([...chat.people.contacts.keys()], ids);
  assert.deepEqual([...chat.groups.keys()], ids);
  await chat.refreshGroup('a');
  for (let i = 0; i < 2; i++) await chat.moreMembers('a');
  assert.deepEqual(chat.membersOf('group/a'), ids);
});

test('what a closed tab had not sent is sent by another, in its order and with its ids', async (context) => {
  const server = new FakeServer('alice');
  const chat = await start(context, server);
  chat.adopt([
    { id: 'x1', talk: 'chat/bob', type: 'message', body: 'one', ts: 1 },
    { id: 'x2', talk: 'chat/carol', type: 'message', body: 'two', ts: 2 },
  ]);
  await until(() => chat.outbox.all.length === 0);
  assert.deepEqual(server.log.map(({ id, to, body }) => [id, to, body]), [['x1', 'bob', 'one'], ['x2', 'carol', 'two']]);
});

test('a conversation in which nothing but what waits was said is in the list, also after a reload', async (context) => {
  const server = new FakeServer('alice');
  const storage = new MemoryStorage();
  const first = await start(context, server, storage);
  server.stores = false;
  first.send('chat/carol', 'message', 'one');
  assert.deepEqual(first.list.map(({ id }) => id), ['chat/carol']);
  first.stop();
  const second = await start(context, server, storage);
  assert.deepEqual(second.list.map(({ id }) => id), ['chat/carol']);
});

test('a group in the list of conversations that one is not in any more is known to be left', async (context) => {
  const server = new FakeServer('alice');
  server.store({ group: 'owls', gseq: 1 });
  const chat = await start(context, server);
  assert.equal(chat.groups.get('owls')?.role, 'none');
});
