import assert from 'node:assert/strict';
import test from 'node:test';

import { type WireMessage, isId } from '../../src/chat/wire';
import { dayText, hueOf, initials, linked, summary, systemText } from '../../src/ui/format';

test('links are http and https alone, without what ends the sentence', () => {
  assert.deepEqual(linked('see https://a.example/x(y), or http://b.example.'), [
    { text: 'see ' }, { text: 'https://a.example/x(y', href: 'https://a.example/x(y' }, { text: '), or ' },
    { text: 'http://b.example', href: 'http://b.example' }, { text: '.' },
  ]);
  for (const text of ['javascript:alert(1)', 'data:text/html,x', '<a href="x">', 'ftp://a.example', '']) {
    assert(linked(text).every(({ href }) => href === undefined), text);
  }
});

test('the parts of a text together are the text', () => {
  for (const text of ['a', 'https://a.example', 'x https://a.example y https://b.example/z!', '']) {
    assert.equal(linked(text).map((part) => part.text).join(''), text);
  }
});

test('days are called as people call them', () => {
  const noon = new Date(2026, 5, 15, 12).getTime();
  const day = 24 * 3600 * 1000;
  assert.equal(dayText(noon, noon), 'Today');
  assert.equal(dayText(noon - day, noon), 'Yesterday');
  assert.equal(dayText(noon - day / 2 - 1, noon), 'Yesterday');
  assert.match(dayText(noon - 400 * day, noon), /2025/);
});

test('names have initials and a colour of their own', () => {
  assert.equal(initials('alice'), 'AL');
  assert.equal(initials('night-readers'), 'NR');
  assert.equal(initials('7'), '7');
  assert.equal(hueOf('alice'), hueOf('alice'));
});

test('one line says what a message is', () => {
  const message = (more: Partial<WireMessage>): WireMessage => ({ type: 'message', id: '1', from: 'bob', ts: 0, ...more });
  assert.equal(summary(message({ body: 'hi' }), 'alice'), 'hi');
  assert.equal(summary(message({ body: 'hi', group: 'g' }), 'alice'), 'bob: hi');
  assert.equal(summary(message({ body: 'hi', from: 'alice' }), 'alice'), 'You: hi');
  assert.equal(summary(message({ retracted: 1 }), 'alice'), 'bob deleted a message');
  assert.equal(summary(message({ body: { link: 'x' } }), 'alice'), '{\n "link": "x"\n}');
});

test('what happens in a group is told from where one stands', () => {
  const told = (body: object, me: string) => systemText({ type: 'system', id: '1', from: 'alice', ts: 0, body }, me);
  assert.equal(told({ event: 'added', users: ['bob', 'carol'] }, 'bob'), 'alice added you, carol');
  assert.equal(told({ event: 'left', users: ['alice'] }, 'alice'), 'You left');
  assert.equal(told({ event: 'renamed', title: 'Owls' }, 'bob'), 'alice named the group “Owls”');
});

test('ids are what the server takes', () => {
  for (const good of ['alice', '1001', 'a.b_c-d']) assert(isId(good));
  for (const bad of ['', 'Alice', '-a', 'a b', 'a/b', 'a#', 'x'.repeat(65)]) assert(!isId(bad));
});
