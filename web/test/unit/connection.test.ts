import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { forgetTraces, renewTokens, savedAccount, signIn, tokenOf } from '../../src/chat/account';
import { Connection, ConnectionLost, type Link, type LinkEvents } from '../../src/chat/connection';
import { MemoryStorage } from '../../src/chat/storage';
import { FakeServer, until } from './fake_server';

const login = { user: 'alice', device: 'alice:web-x-1', secret: () => 'token' };

function open(context: TestContext) {
  const links: LinkEvents[] = [];
  const published: string[] = [];
  const link: Link = { publish: (_, payload) => published.push(payload), subscribe: async () => {}, close: () => {} };
  const connection = new Connection(login, (_, events) => (links.push(events), link), {
    changed: () => {}, up: () => {}, message: () => {},
  });
  context.after(() => connection.close());
  connection.start();
  return { connection, links, link, published };
}

test('a lost connection is tried again, and what was asked fails at once', async (context) => {
  const { connection, links, link } = open(context);
  links[0]!.up(link);
  const asked = connection.ask('sync');
  links[0]!.down('lost');
  await assert.rejects(asked, ConnectionLost);
  await until(() => links.length === 2);
});

test('answers find their questions, in whatever order', async (context) => {
  const { connection, links, link } = open(context);
  links[0]!.up(link);
  const [first, second] = [connection.ask<{ n: number }>('a'), connection.ask<{ n: number }>('b')];
  const answer = (rid: string, more: object) => links[0]!.message(`answer/${login.device}`, JSON.stringify({ rid, ...more }));
  answer('2', { ok: true, n: 2 });
  answer('1', { ok: false, error: { code: 'denied', message: 'no' } });
  assert.equal((await second).n, 2);
  await assert.rejects(first, { code: 'denied' });
});

test('who is taken over by another tab doesn\'t take it back by itself', async (context) => {
  const { connection, links, link } = open(context);
  links[0]!.up(link);
  links[0]!.down('taken');
  assert.equal(connection.state, 'taken');
  await new Promise((done) => setTimeout(done, 400));
  assert.equal(links.length, 1);
});

test('a login that is refused again and again is given up', async (context) => {
  const { connection, links } = open(context);
  for (let i = 0; i < 3; i++) {
    await until(() => links.length === i + 1);
    links[i]!.down('refused');
  }
  assert.equal(connection.state, 'refused');
});

test('each link logs in with the secret as it is then: tokens are renewed', async (context) => {
  const storage = new MemoryStorage();
  const secrets: string[] = [];
  storage.set('secret', 'first');
  const open = (to: typeof login) => {
    secrets.push(to.secret());
    return { publish: () => {}, subscribe: async () => {}, close: () => {} };
  };
  const connection = new Connection({ ...login, secret: () => storage.get('secret')! }, open, { changed: () => {}, up: () => {}, message: () => {} });
  context.after(() => connection.close());
  connection.start();
  storage.set('secret', 'second');
  connection.renew();
  assert.deepEqual(secrets, ['first', 'second']);
});

test('what was written and read here is forgotten by signing out, and by another user\'s signing in', async () => {
  const storage = new MemoryStorage();
  const keep = () => {
    for (const key of ['outbox.alice:web-x-1', 'read.alice', 'outbox.a.lice:web-x-1', 'read.a.lice', 'theme']) storage.set(`parley.${key}`, 'x');
  };
  keep();
  await signIn(storage, new FakeServer('alice').open, 'alice', 'secret word');
  assert.deepEqual(storage.keys('parley.').sort(), ['parley.account', 'parley.outbox.alice:web-x-1', 'parley.read.alice', 'parley.theme']);
  forgetTraces(storage);
  assert.deepEqual(storage.keys('parley.').sort(), ['parley.account', 'parley.theme']);
});

test('events of an older link mean nothing', async (context) => {
  const { connection, links, link } = open(context);
  connection.renew();
  links[1]!.up(link);
  links[0]!.down('refused');
  assert.equal(connection.state, 'up');
});

test('a password is changed for tokens, which alone are kept', async () => {
  const storage = new MemoryStorage();
  const server = new FakeServer('alice');
  const account = await signIn(storage, server.open, 'alice', 'secret word');
  assert.equal(tokenOf(account, 1), `token for alice:web-${account.browser}-1`);
  assert.deepEqual(savedAccount(storage), account);
  assert(!JSON.stringify(savedAccount(storage)).includes('secret word'));
});

test('tokens are renewed when half their time is over, and not before', async () => {
  const storage = new MemoryStorage();
  const asked: string[] = [];
  const ask = async <T,>(_: string, members: any) => (asked.push(members.device), { token: 'new', expires: Date.now() + 1e10 } as T);
  const day = 24 * 3600 * 1000;
  const token = (days: number) => ({ token: 'old', expires: Date.now() + days * day });
  const account = { user: 'alice', browser: 'x', tokens: { 1: token(10), 2: token(20), 3: token(20), 4: token(20), 5: token(20) } };
  const renewed = await renewTokens(storage, account, 1, ask);
  assert.deepEqual(asked, ['alice:web-x-1']);
  assert.equal(renewed.tokens[1]?.token, 'new');
  assert.equal(renewed.tokens[2]?.token, 'old');
});
