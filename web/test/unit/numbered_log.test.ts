import assert from 'node:assert/strict';
import test from 'node:test';

import { type LogPage, NumberedLog } from '../../src/chat/numbered_log';
import { type WireMessage } from '../../src/chat/wire';

const message = (seq: number): WireMessage => ({ seq, type: 'message', id: `m${seq}`, from: 'bob', ts: 0 });
const page = (from: number, to: number, more = false): LogPage => ({
  messages: Array.from({ length: to - from + 1 }, (_, i) => message(from + i)), more,
});

function logFrom(last: number, fetch: (after: number) => Promise<LogPage>) {
  const taken: number[] = [];
  const log = new NumberedLog(last, (one) => one.seq!, (one) => taken.push(one.seq!), fetch);
  return { log, taken };
}
const nothing = async (): Promise<LogPage> => ({ messages: [], more: false });

test('what comes in order is taken at once, and nothing twice', () => {
  const { log, taken } = logFrom(3, nothing);
  for (const seq of [4, 5, 5, 4, 3, 6]) log.offer(message(seq));
  assert.deepEqual(taken, [4, 5, 6]);
});

test('a gap is asked for, and what came after it waits', async () => {
  const asked: number[] = [];
  const { log, taken } = logFrom(0, async (after) => (asked.push(after), page(2, 3)));
  log.offer(message(1));
  log.offer(message(4));
  assert.deepEqual(taken, [1]);
  await log.catchUp();
  assert.deepEqual(taken, [1, 2, 3, 4]);
  assert.deepEqual(asked, [1]);
});

test('pages are asked for until there are no more', async () => {
  const { log, taken } = logFrom(0, async (after) => (after === 0 ? page(1, 2, true) : page(3, 4)));
  await log.catchUp();
  assert.deepEqual(taken, [1, 2, 3, 4]);
});

test('what arrives while a page is asked for is taken once', async () => {
  let answer!: (page: LogPage) => void;
  const { log, taken } = logFrom(0, () => new Promise((resolve) => { answer = resolve; }));
  const done = log.catchUp();
  log.offer(message(2));
  log.offer(message(3));
  answer(page(1, 3));
  await done;
  assert.deepEqual(taken, [1, 2, 3]);
});

test('after a failed question the next one goes on where the log was', async () => {
  let fails = true;
  const { log, taken } = logFrom(0, async () => {
    if (fails) throw new Error('lost');
    return page(1, 3);
  });
  log.offer(message(3));
  await assert.rejects(log.catchUp());
  fails = false;
  await log.catchUp();
  assert.deepEqual(taken, [1, 2, 3]);
});

test('numbers that are no longer kept are passed over', async () => {
  const { log, taken } = logFrom(0, async () => page(10, 11));
  await log.catchUp();
  log.offer(message(12));
  assert.deepEqual(taken, [10, 11, 12]);
});
