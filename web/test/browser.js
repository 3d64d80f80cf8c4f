// The page in a headless Chromium, from a gateway and against its broker:
//   node browser.js PAGE_URL WS_URL
// The broker has the accounts alice, bob, carol and dave, with passwords "password of <user>". Whoever started
// this reads a word a line: `kill` (SIGKILL the broker, then write a line), `start` (the same to start it), and,
// after other lines, `done`. Exits with 1 and says why as soon as something is wrong.
import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';

import mqtt from 'mqtt';
import { chromium } from 'playwright-core';

import { Person, act, eventually, openTalk, row, say, shows, texts } from './person.js';
import { Sender } from './sender.js';
import { violations } from './accessible.js';

const [url, wsUrl] = process.argv.slice(2);
const firstVisitMax = 150 * 1024;

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
// Has the one who started this do something to the broker.
async function broker(word) {
  console.log(word);
  await lines.next();
}

const range = (n, text) => Array.from({ length: n }, (_, i) => `${text} ${i + 1}`);

const isRefusal = (problem) => /Content Security Policy/.test(problem);

// ---- What is tested, in this order: later parts go on with what earlier ones left

async function firstVisitIsSmall({ browser, url }) {
  const page = await browser.newPage();
  let bytes = 0;
  page.on('response', async (response) => {
    const sizes = await response.request().sizes();
    bytes += sizes.responseBodySize + sizes.responseHeadersSize;
  });
  await page.goto(url, { waitUntil: 'networkidle' });
  await page.getByRole('button', { name: 'Sign in' }).waitFor();
  await page.close();
  console.log(`first visit: ${(bytes / 1024).toFixed(1)} KiB`);
  assert(bytes > 10_000 && bytes <= firstVisitMax, `a first visit loads ${bytes} bytes`);
}

async function pushesAreShownWhileNobodyLooks({ browser, url }) {
  const context = await browser.newContext();
  await context.grantPermissions(['notifications'], { origin: url.slice(0, -1) });
  const page = await context.newPage();
  await page.goto(url);
  await page.evaluate(async () => {
    await navigator.serviceWorker.register('sw.js');
    await navigator.serviceWorker.ready;
  });
  const debug = await context.newCDPSession(page);
  const registered = new Promise((resolve) => {
    debug.on('ServiceWorker.workerRegistrationUpdated', ({ registrations: [one] }) => one && resolve(one.registrationId));
  });
  await debug.send('ServiceWorker.enable');
  const registrationId = await registered;
  const push = (data) => debug.send('ServiceWorker.deliverPushMessage', {
    origin: url.slice(0, -1), registrationId, data: JSON.stringify(data),
  });
  const shown = () => page.evaluate(async () => {
    const worker = await navigator.serviceWorker.ready;
    return (await worker.getNotifications()).map(({ title, body, tag, data }) => [title, body, tag, data]);
  });
  await push({ with: 'dave', from: 'dave', body: 'seen already', count: 1, tag: 't0' });
  await debug.send('Emulation.setFocusEmulationEnabled', { enabled: false });
  await (await context.newPage()).bringToFront();
  // Again until the browser knows that nobody looks: by its tag a notification takes the place of the one before.
  const all = await eventually('two notifications', async () => {
    await push({ with: 'bob', from: 'bob', body: '<b>hi</b>', count: 1, tag: 't1' });
    await push({ group: 'readers', from: 'carol', count: 3, tag: 't2' });
    return shown();
  }, (list) => list.length >= 2);
  assert.deepEqual(all.sort(), [['bob', '<b>hi</b>', 't1', 'chat/bob'], ['readers', '3 new messages', 't2', 'group/readers']]);
  await context.close();
}

// The browser's push service is the only thing that isn't there: what it would answer is put in its place.
async function notificationsAreTurnedOnAndOff({ browser, url }) {
  const dave = await new Person(browser, url, 'dave').start({ permissions: ['notifications'] });
  const [page] = dave.tabs;
  const endpoint = 'https://push.example/dave';
  await page.evaluate((endpoint) => {
    let subscription = null;
    const unsubscribe = async () => {
      subscription = null;
      sessionStorage.setItem('unsubscribed', 'yes'); // it outlives the page
    };
    PushManager.prototype.getSubscription = async () => subscription;
    PushManager.prototype.subscribe = async ({ applicationServerKey, userVisibleOnly }) => {
      window.keyBytes = userVisibleOnly && applicationServerKey.length;
      const keys = { p256dh: `B${'A'.repeat(86)}`, auth: 'A'.repeat(22) };
      return (subscription = { toJSON: () => ({ endpoint, keys }), unsubscribe });
    };
  }, endpoint);
  const { user, browser: name } = await page.evaluate(() => JSON.parse(localStorage.getItem('parley.account')));
  const sender = await Sender.open(wsUrl, 'dave');
  const optIns = async () => (await sender.tell('ask/push.list', { device: `${user}:web-${name}-1` })).push;
  const choose = async (item) => {
    await page.getByRole('button', { name: 'Menu' }).click();
    await page.getByRole('button', { name: item }).click();
  };
  assert.deepEqual(await optIns(), []);
  await choose('Notify me');
  const [optIn] = await eventually('the opt-in', optIns, (list) => list.length === 1);
  assert.equal(optIn.provider, 'webpush');
  assert.equal(optIn.target.endpoint ?? JSON.parse(optIn.target).endpoint, endpoint);
  assert.equal(await page.evaluate(() => window.keyBytes), 65);
  await choose('Turn notifications off');
  await eventually('no opt-in', optIns, (list) => list.length === 0);
  assert.equal(await page.evaluate(async () => (await navigator.serviceWorker.ready).pushManager.getSubscription()), null);

  // Signing out turns them off, also where the server can't be told.
  await choose('Notify me');
  await eventually('the opt-in', optIns, (list) => list.length === 1);
  await page.evaluate(() => sessionStorage.clear());
  await sender.close();
  await broker('kill');
  await page.getByText('Reconnecting').waitFor();
  await choose('Sign out');
  await page.getByRole('button', { name: 'Sign in' }).waitFor();
  await eventually('no subscription', () => page.evaluate(() => sessionStorage.getItem('unsubscribed')), (kept) => kept === 'yes');
  await broker('start');
  assert.deepEqual(dave.problems, []);
  await dave.context.close();
}

async function wrongPasswordIsSaid({ browser, url }) {
  const page = await browser.newPage();
  await page.goto(url);
  await page.getByLabel('Name').fill('alice');
  await page.getByLabel('Password').fill('not hers');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').getByText(/wrong name or password/i).waitFor();
  await page.close();
}

async function onlyATokenIsKept({ alice }) {
  const kept = await alice.tabs[0].evaluate(() => JSON.stringify(localStorage));
  assert(kept.includes('token'), kept);
  assert(!kept.includes('password of alice'), kept);
}

async function messagesReachAllTabs({ alice, bob }) {
  const [a1, a2] = alice.tabs;
  const [b1, b2] = bob.tabs;
  for (const page of [a1, a2]) await openTalk(page, 'chat/bob');
  await say(a1, 'hello bob');
  await b1.locator('.talk', { hasText: 'alice' }).locator('.badge', { hasText: '1' }).waitFor();
  await row(a1, 'hello bob').getByRole('img', { name: 'Delivered' }).waitFor();
  for (const page of [b1, b2]) await openTalk(page, 'chat/alice');
  await say(b2, 'hello alice');
  for (const page of [a1, a2, b1, b2]) await shows(page, ['hello bob', 'hello alice']);
  await row(a1, 'hello bob').getByRole('img', { name: 'Read', exact: true }).waitFor();
  await eventually('unread after reading', () => b1.locator('.badge').count(), (count) => count === 0);
}

async function markupStaysText({ alice, bob }) {
  const bad = '<img src=x onerror="window.hit=1"><script>window.hit=1</script> <b>not bold</b> javascript:alert(1)';
  await say(alice.tabs[0], bad);
  for (const page of [alice.tabs[0], bob.tabs[0]]) {
    await eventually('markup as text', () => texts(page), (shown) => shown.includes(bad));
    assert.equal(await page.locator('.messages b, .messages img, .messages script, .messages a').count(), 0);
    assert.equal(await page.evaluate(() => window.hit), undefined);
  }
  await say(alice.tabs[0], 'see https://example.org/a?b=1, and that');
  const link = bob.tabs[0].locator('.messages a');
  await link.waitFor();
  assert.equal(await link.getAttribute('href'), 'https://example.org/a?b=1');
  assert.match(await link.getAttribute('rel'), /noopener/);
}

async function thePolicyHolds({ alice }) {
  // Markup that got into the page after all would run nothing.
  await alice.tabs[0].evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'window.hit = 1';
    document.body.append(script);
    document.body.insertAdjacentHTML('beforeend', '<img hidden src="data:," alt="" onerror="window.hit = 2">');
    setTimeout('window.hit = 3');
  });
  await eventually('refusals', () => alice.problems.filter(isRefusal).length, (count) => count >= 3);
  assert.equal(await alice.tabs[0].evaluate(() => window.hit), undefined);
  alice.problems = alice.problems.filter((problem) => !isRefusal(problem));
}

async function typingIsShown({ alice, bob }) {
  await alice.tabs[0].getByRole('textbox', { name: /^Message to/ }).pressSequentially('thi');
  await bob.tabs[0].locator('p.typing', { hasText: 'typing' }).waitFor();
  await alice.tabs[0].getByRole('textbox', { name: /^Message to/ }).fill('');
  await eventually('the end of typing', () => bob.tabs[0].locator('p.typing i').count(), (count) => count === 0);
}

async function messagesAreEditedReactedToRepliedToAndDeleted({ alice, bob }) {
  const [a1, a2] = alice.tabs;
  const [b1, b2] = bob.tabs;
  await say(a1, 'a slip of the pne');
  await row(b1, 'a slip of the pne').waitFor();
  await act(a1, 'a slip of the pne', 'Edit');
  await say(a1, 'a slip of the pen');
  for (const page of [a2, b1, b2]) await row(page, 'a slip of the pen').getByText('edited').waitFor();

  await act(b1, 'a slip of the pen', 'React');
  await row(b1, 'a slip of the pen').getByRole('button', { name: 'React with 👍' }).click();
  for (const page of [a1, a2, b2]) await row(page, 'a slip of the pen').getByRole('button', { name: '👍 by bob' }).waitFor();
  await row(b1, 'a slip of the pen').getByRole('button', { name: '👍 by bob' }).click();
  await eventually('a reaction taken back', () => a1.locator('.reaction').count(), (count) => count === 0);

  await act(b2, 'a slip of the pen', 'Reply');
  await say(b2, 'no harm done');
  for (const page of [a1, a2, b1]) await row(page, 'no harm done').locator('.quote', { hasText: 'a slip of the pen' }).waitFor();

  await act(b2, 'no harm done', 'Delete');
  for (const page of [a1, a2, b1]) await row(page, 'Deleted message').waitFor();
  assert.equal(await row(a1, 'Deleted message').getByRole('button').count(), 0);
}

async function presenceIsShownToContacts({ alice, bob, browser, url }) {
  const [a1] = alice.tabs;
  await a1.getByRole('button', { name: 'Contact' }).click();
  await a1.getByRole('button', { name: 'Add to contacts' }).click();
  await bob.tabs[0].getByRole('button', { name: 'Accept' }).click();
  await a1.locator('.talk-view .bar', { hasText: 'online' }).waitFor();
  await a1.locator('.talk', { hasText: 'bob' }).locator('.dot.online').waitFor();
}

async function whoGoesIsShownOffline({ alice }) {
  const [a1] = alice.tabs;
  const dave = await Sender.open(wsUrl, 'dave');
  await dave.tell('ask/contacts.add', { user: 'alice' });
  await a1.locator('.request', { hasText: 'dave' }).getByRole('button', { name: 'Accept' }).click();
  await openTalk(a1, 'chat/dave');
  const bar = a1.locator('.talk-view .bar');
  await bar.getByText('online', { exact: true }).waitFor();
  await bar.locator('.dot.online').waitFor();
  await dave.close();
  await bar.getByText(/^last seen today at/).waitFor();
  assert.equal(await bar.locator('.dot.online').count(), 0);
}

async function groupsAreMadeAndLeft({ alice, bob, carol }) {
  const [a1] = alice.tabs;
  await a1.getByRole('button', { name: 'New conversation' }).click();
  await a1.getByRole('button', { name: 'A group' }).click();
  await a1.getByLabel('Title').fill('Night readers');
  await a1.getByLabel('Members').fill('bob, carol');
  await a1.getByRole('button', { name: 'Create the group' }).click();
  await a1.getByRole('heading', { name: 'Night readers' }).waitFor();
  await say(a1, 'what do we read?');
  for (const { tabs: [page] } of [bob, carol]) {
    await page.locator('.talk', { hasText: 'Night readers' }).click();
    await row(page, 'what do we read?').waitFor();
  }
  await row(a1, 'what do we read?').getByRole('img', { name: 'Read', exact: true }).waitFor();
  await say(carol.tabs[0], 'Dracula');
  for (const { tabs: [page] } of [alice, bob]) await row(page, 'Dracula').locator('.author', { hasText: 'carol' }).waitFor();

  await a1.getByRole('button', { name: 'Group members' }).click();
  await a1.getByLabel('Add members').fill('dave');
  await a1.getByRole('button', { name: 'Add', exact: true }).click();
  await a1.getByRole('list', { name: 'Members' }).getByText('dave').waitFor();
  await a1.keyboard.press('Escape');
  await carol.tabs[0].getByRole('button', { name: 'Group members' }).click();
  await carol.tabs[0].getByRole('button', { name: 'Leave the group' }).click();
  await carol.tabs[0].getByText('You are not in this group any more.').waitFor();
  await a1.locator('.system', { hasText: 'carol left' }).waitFor();
}

// Groups whose messages aren't in their members' logs: others make them so.
async function topicGroupsAreFollowed({ alice, bob, carol }) {
  const dave = await Sender.open(wsUrl, 'dave');
  await dave.tell('ask/groups.create', { group: 'owls', title: 'Owls', delivery: 'topic', members: ['alice', 'bob', 'carol'] });
  await dave.tell('group/owls', { body: 'who is there?' });
  const pages = [alice, bob, carol].map(({ tabs: [page] }) => page);
  const [a1, b1, c1] = pages;
  for (const page of pages) {
    await page.reload();
    await page.locator('.talk', { hasText: 'Owls' }).locator('.badge', { hasText: '1' }).waitFor();
  }
  await openTalk(b1, 'chat/alice');
  await openTalk(a1, 'group/owls');
  await row(a1, 'who is there?').waitFor();
  await say(a1, 'hoo');
  await row(a1, 'hoo').getByRole('img', { name: 'Sent' }).waitFor();
  await b1.locator('.talk', { hasText: 'Owls' }).locator('.badge', { hasText: '2' }).waitFor();
  for (const page of [b1, c1]) {
    await openTalk(page, 'group/owls');
    await row(page, 'hoo').waitFor();
  }
  await say(b1, 'hoo hoo');
  for (const page of [a1, c1]) await row(page, 'hoo hoo').locator('.author', { hasText: 'bob' }).waitFor();
  await eventually('unread after reading', () => b1.locator('.talk', { hasText: 'Owls' }).locator('.badge').count(), (count) => count === 0);
  await dave.tell('ask/groups.remove', { group: 'owls', user: 'carol' });
  await c1.getByText('You are not in this group any more.').waitFor();

  // One that becomes such a group: alice has read what was said until then, and the next is unread.
  await dave.tell('ask/groups.create', { group: 'bats', title: 'Bats', members: ['alice'] });
  for (const text of range(3, 'flap')) await dave.tell('group/bats', { body: text });
  await openTalk(a1, 'group/bats');
  await row(a1, 'flap 3').waitFor();
  await dave.tell('ask/groups.set', { group: 'bats', delivery: 'topic' });
  await openTalk(a1, 'chat/bob');
  await dave.tell('group/bats', { body: 'flap 4' });
  const bats = a1.locator('.talk', { hasText: 'Bats' });
  await bats.locator('.badge', { hasText: /^1 unread$/ }).waitFor();
  await bats.click();
  await shows(a1, range(4, 'flap'));
  await eventually('unread after reading', () => bats.locator('.badge').count(), (count) => count === 0);
  await dave.close();
}

async function topicGroupsGoOnOverANewConnection({ alice, bob, carol }) {
  const [a1] = alice.tabs;
  const [b1] = bob.tabs;
  await openTalk(a1, 'group/owls');
  await openTalk(b1, 'group/owls');
  await say(a1, 'still there?');
  await row(b1, 'still there?').waitFor();
  await say(b1, 'still here');
  await row(a1, 'still here').waitFor();
  // She isn't in it any more, and connected all the same.
  const [c1] = carol.tabs;
  await openTalk(c1, 'chat/alice');
  await say(c1, 'and I here');
  await row(c1, 'and I here').getByRole('img', { name: /Sent|Delivered|Read/ }).waitFor();
  await eventually('no banner', () => c1.locator('.banner').count(), (count) => count === 0);
  await openTalk(a1, 'chat/carol');
  await row(a1, 'and I here').waitFor();
  await eventually('all read', () => a1.locator('.badge').count(), (count) => count === 0);
}

async function refusalsAreSaid({ alice }) {
  const [a1] = alice.tabs;
  await openTalk(a1, 'chat/nobody-of-this-name');
  await say(a1, 'is this anybody?');
  await a1.locator('.refusal', { hasText: 'no account' }).getByRole('button', { name: 'Discard' }).click();
  await eventually('nothing waits', () => a1.locator('.pending').count(), (count) => count === 0);

  const carol = await Sender.open(wsUrl, 'carol');
  await carol.tell('chat/alice', { body: 'I block you now' });
  await carol.tell('ask/contacts.block', { user: 'alice' });
  await openTalk(a1, 'chat/carol');
  await act(a1, 'I block you now', 'React');
  await row(a1, 'I block you now').getByRole('button', { name: 'React with 😢' }).click();
  await a1.locator('.banner', { hasText: 'Your reaction was refused' }).getByRole('button', { name: 'Close' }).click();
  await carol.tell('ask/contacts.unblock', { user: 'alice' });
  await carol.close();
}

async function nothingIsLostWhenTheBrokerIsKilled({ alice, bob, carol }) {
  const [a1, a2] = alice.tabs;
  const [b1, b2] = bob.tabs;
  const a3 = await alice.secondTab();
  await openTalk(a3, 'chat/bob');
  for (const page of [a1, a2]) await openTalk(page, 'chat/bob');
  for (const page of [b1, b2]) await openTalk(page, 'chat/alice');
  await say(a1, 'before all');
  for (const page of [a1, a2, b1, b2]) await row(page, 'before all').waitFor();
  const before = await texts(a1);

  // Written while it dies, and while it is dead; in both tabs of both.
  const dying = broker('kill');
  for (const text of range(10, 'dying')) await say(a1, text);
  await dying;
  await a1.getByText('Reconnecting').waitFor();
  for (const [page, text] of [[a1, 'a1 away'], [a2, 'a2 away'], [b1, 'b1 away'], [b2, 'b2 away']]) {
    for (const one of range(3, text)) await say(page, one);
  }
  await row(b2, 'b2 away 3').getByRole('img', { name: 'Being sent' }).waitFor();
  for (const one of range(3, 'a3 away')) await say(a3, one);
  // One of them is loaded anew meanwhile, and one is closed: what they had not sent is kept.
  await b2.reload();
  alice.tabs.pop();
  await a3.close();
  await broker('start');
  // The pauses between the tries have grown meanwhile.
  for (const page of [a1, a2, b1, b2, ...carol.tabs]) await page.evaluate(() => { dispatchEvent(new Event('online')); });

  const shown = await eventually('all messages, once', () => texts(a1), (all) => all.length >= before.length + 25);
  const added = shown.slice(before.length);
  const expected = [...range(10, 'dying'), ...['a1', 'a2', 'a3', 'b1', 'b2'].flatMap((tab) => range(3, `${tab} away`))];
  assert.deepEqual([...added].sort(), [...expected].sort());
  for (const page of [a2, b1, b2]) await shows(page, shown);
  for (const page of [a1, a2, b1, b2]) {
    await eventually('nothing waits', () => page.locator('.pending').count(), (count) => count === 0);
    await page.reload();
    await shows(page, shown);
  }
  await eventually('no banner', () => a1.locator('.banner').count(), (count) => count === 0);
  alice.problems = alice.problems.filter((problem) => !/ERR_CONNECTION/.test(problem));
  bob.problems = bob.problems.filter((problem) => !/ERR_CONNECTION/.test(problem));
}

async function olderMessagesComeByScrolling({ alice }) {
  const [a1] = alice.tabs;
  const all = range(150, 'line');
  const dave = await Sender.open(wsUrl, 'dave');
  // Not all at once: of what comes while the password is verified the server takes 100.
  await dave.tell('chat/alice', { body: all[0] });
  await Promise.all(all.slice(1).map((text) => dave.say('alice', text)));
  const badges = a1.locator('.talk', { hasText: 'dave' }).locator('.badge');
  await eventually('150 unread', () => badges.allTextContents(), (shown) => shown[0] === '150 unread');
  await openTalk(a1, 'chat/dave');
  await row(a1, 'line 150').waitFor();
  assert((await texts(a1)).length < 150, 'all messages were loaded at once');
  await eventually('the first message', async () => {
    await a1.locator('.timeline').hover();
    await a1.mouse.wheel(0, -3000);
    return texts(a1);
  }, (shown) => shown.length === 150);
  assert.deepEqual(await texts(a1), all);
  await dave.say('alice', 'one more');
  await row(a1, 'one more').waitFor();
  await a1.getByRole('button', { name: 'To the newest message' }).click();
  await eventually('read by scrolling down', () => a1.locator('.badge').count(), (count) => count === 0);
  await dave.close();
}

async function theKeyboardIsEnough({ alice }) {
  const [a1] = alice.tabs;
  await openTalk(a1, 'chat/bob');
  const field = a1.getByRole('textbox', { name: /^Message to/ });
  await say(a1, 'by keys');
  await row(a1, 'by keys').getByRole('img', { name: /Sent|Delivered|Read/ }).waitFor();
  await field.press('ArrowUp');
  await field.fill('by keys alone');
  await field.press('Enter');
  await row(a1, 'by keys alone').waitFor();
  // Into the messages, one up and down, and on to the actions of the last.
  await field.press('Shift+Tab');
  await a1.locator('.row:focus').waitFor();
  await a1.keyboard.press('ArrowUp');
  await a1.keyboard.press('ArrowDown');
  await row(a1, 'by keys alone').and(a1.locator(':focus')).waitFor();
  await a1.keyboard.press('Tab');
  await a1.getByRole('button', { name: 'React', exact: true }).and(a1.locator(':focus')).waitFor();
  await a1.keyboard.press('Enter');
  await a1.getByRole('button', { name: 'React with 🎉' }).press('Enter');
  await row(a1, 'by keys alone').getByRole('button', { name: '🎉 by alice' }).waitFor();
}

async function theThemeIsChosenAndKept({ alice }) {
  const [a1] = alice.tabs;
  const theme = () => a1.evaluate(() => document.documentElement.dataset.theme);
  const turn = async () => {
    await a1.getByRole('button', { name: 'Menu' }).click();
    await a1.getByRole('button', { name: 'Light or dark' }).click();
  };
  const colour = () => a1.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(await theme(), 'light');
  const light = await colour();
  await turn();
  assert.equal(await theme(), 'dark');
  assert.notEqual(await colour(), light);
  await a1.reload();
  await alice.ready(a1);
  assert.equal(await theme(), 'dark');
  await turn();
  assert.equal(await theme(), 'light');
  await a1.evaluate(() => localStorage.removeItem('parley.theme'));
}

// What stands out of the page to the left or right. What another element cuts off itself is no matter.
const outOfSight = (page) => page.evaluate(() => {
  const cut = (element) => {
    for (let up = element.parentElement; up && up !== document.body; up = up.parentElement) {
      if (getComputedStyle(up).overflowX !== 'visible' && up.getBoundingClientRect().right <= innerWidth + 1 &&
          up.scrollWidth <= up.clientWidth + (getComputedStyle(up).textOverflow === 'ellipsis' ? Infinity : 1)) return true;
    }
    return false;
  };
  return [...document.querySelectorAll('body *')]
    .filter((element) => element.checkVisibility() && !element.closest('.hidden'))
    .filter((element) => {
      const { left, right, width } = element.getBoundingClientRect();
      return width > 0 && (left < -1 || right > innerWidth + 1) && !cut(element);
    })
    .map((element) => `${element.tagName} ${element.className}: ${(element.textContent ?? '').slice(0, 40)}`);
});

async function nothingStandsOutOnAPhone({ alice }) {
  const [page] = alice.tabs;
  await openTalk(page, 'chat/bob');
  await say(page, 'w'.repeat(400));
  await say(page, `https://example.org/${'a'.repeat(200)}`);
  await say(page, 'short');
  await row(page, 'short').getByRole('img', { name: /Sent|Delivered|Read/ }).waitFor();
  for (const width of [390, 320]) {
    await page.setViewportSize({ width, height: 640 });
    for (const talk of ['chat/bob', 'group/owls']) {
      await openTalk(page, talk);
      await eventually('the messages', () => page.locator('.messages .row').count(), (count) => count > 2);
      assert.deepEqual(await outOfSight(page), [], `${talk}, ${width} px`);
    }
    await openTalk(page, 'chat/bob');
    await act(page, 'short', 'React');
    assert.deepEqual(await outOfSight(page), [], `reactions, ${width} px`);
    await page.getByRole('button', { name: 'No reaction' }).click();
    await openTalk(page, 'group/owls');
    await page.getByRole('button', { name: 'Group members' }).click();
    await page.getByRole('list', { name: 'Members' }).waitFor();
    assert.deepEqual(await outOfSight(page), [], `members, ${width} px`);
    await page.keyboard.press('Escape');
    await page.evaluate(() => { location.hash = ''; });
    await page.locator('.talks').waitFor({ state: 'visible' });
    assert.deepEqual(await outOfSight(page), [], `the list, ${width} px`);
    await page.getByRole('button', { name: 'Menu' }).click();
    assert.deepEqual(await outOfSight(page), [], `the menu, ${width} px`);
    await page.keyboard.press('Escape');
  }
  await page.setViewportSize({ width: 1200, height: 800 });
}

async function accessibleInAllForms({ alice, browser, url }) {
  const [page] = alice.tabs;
  const found = [];
  const look = async (where, on = page) => found.push(...(await violations(on, where)));
  for (const scheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
    await page.setViewportSize({ width: 1200, height: 800 });
    await openTalk(page, 'chat/bob');
    await row(page, 'by keys alone').hover();
    await look(`${scheme}, a conversation`);
    await page.setViewportSize({ width: 390, height: 780 });
    await look(`${scheme}, a conversation on a phone`);
    await page.evaluate(() => { location.hash = ''; });
    await page.locator('.talks').waitFor({ state: 'visible' });
    await look(`${scheme}, the list on a phone`);
    await page.getByRole('button', { name: 'New conversation' }).click();
    await look(`${scheme}, new conversation`);
    await page.keyboard.press('Escape');
    const signIn = await browser.newPage({ colorScheme: scheme });
    await signIn.goto(url);
    await signIn.getByRole('button', { name: 'Sign in' }).waitFor();
    await look(`${scheme}, sign in`, signIn);
    await signIn.close();
  }
  await page.setViewportSize({ width: 1200, height: 800 });
  assert.deepEqual(found, []);
}

async function signingOutIsForAllTabs({ alice }) {
  const [a1, a2] = alice.tabs;
  const before = await a1.evaluate(() => localStorage.getItem('parley.account'));
  await a1.evaluate(() => localStorage.setItem('parley.theme', '"dark"'));
  await openTalk(a1, 'chat/bob');
  await a1.getByRole('textbox', { name: /^Message to/ }).fill('begun, and not for everybody');
  await openTalk(a1, 'chat/nobody-of-this-name');
  await say(a1, 'never sent');
  await a1.locator('.refusal').waitFor();
  // What is not sent is asked about.
  const signOut = async (answer) => {
    const asked = a1.waitForEvent('dialog').then(async (dialog) => (await dialog[answer](), dialog.message()));
    await a1.getByRole('button', { name: 'Menu' }).click();
    await a1.getByRole('button', { name: 'Sign out' }).click();
    assert.match(await asked, /One message was not sent yet/);
  };
  await signOut('dismiss');
  await a1.locator('.refusal').waitFor();
  await signOut('accept');
  for (const page of [a1, a2]) await page.getByRole('button', { name: 'Sign in' }).waitFor();
  const kept = await a1.evaluate(() => localStorage.getItem('parley.account'));
  assert.equal(kept, null);
  await eventually('what is kept', () => a1.evaluate(() => Object.keys(localStorage)), (keys) => String(keys) === 'parley.theme');
  await eventually('the address', () => a1.evaluate(() => location.hash), (hash) => hash === '');
  // What was kept is worth nothing any more.
  const { user, browser, tokens } = JSON.parse(before);
  const refused = mqtt.connectAsync(wsUrl, {
    protocolVersion: 5, clientId: `${user}:web-${browser}-1`, username: user, password: tokens[1].token, reconnectPeriod: 0,
  });
  await assert.rejects(refused, /not authorized/i);
}

async function nobodyElseWasAskedForAnything({ people, url }) {
  const all = new Set(people.flatMap(({ asked }) => [...asked]));
  assert.deepEqual([...all].sort(), [new URL(url).origin, new URL(wsUrl).origin].sort());
}

async function nothingWentWrongInTheConsole({ people }) {
  assert.deepEqual(people.flatMap(({ problems }) => problems), []);
}

async function main() {
  const browser = await chromium.launch({
    executablePath: process.env.PARLEY_CHROMIUM ?? '/usr/bin/chromium',
    // Chromium's own sandbox can't be used by root.
    args: process.getuid() === 0 ? ['--no-sandbox'] : [],
  });
  try {
    const world = { browser, url };
    await run(firstVisitIsSmall, world);
    await run(pushesAreShownWhileNobodyLooks, world);
    await run(notificationsAreTurnedOnAndOff, world);
    await run(wrongPasswordIsSaid, world);
    const people = [new Person(browser, url, 'alice'), new Person(browser, url, 'bob'), new Person(browser, url, 'carol')];
    await Promise.all(people.map((person) => person.start()));
    const [alice, bob, carol] = people;
    await alice.secondTab();
    await bob.secondTab();
    Object.assign(world, { alice, bob, carol, people });
    for (const part of [
      onlyATokenIsKept, messagesReachAllTabs, markupStaysText, thePolicyHolds, typingIsShown,
      messagesAreEditedReactedToRepliedToAndDeleted, presenceIsShownToContacts, whoGoesIsShownOffline,
      groupsAreMadeAndLeft, topicGroupsAreFollowed, refusalsAreSaid, nothingIsLostWhenTheBrokerIsKilled,
      topicGroupsGoOnOverANewConnection, olderMessagesComeByScrolling, theKeyboardIsEnough, theThemeIsChosenAndKept,
      accessibleInAllForms, nothingStandsOutOnAPhone, signingOutIsForAllTabs, nobodyElseWasAskedForAnything, nothingWentWrongInTheConsole,
    ]) await run(part, world);
    console.log('done');
  } finally {
    await browser.close();
  }
}

async function run(part, world) {
  if (process.env.PARLEY_WEB_SHOTS) console.error(part.name);
  const begin = Date.now();
  try {
    await part(world);
  } catch (error) {
    const shot = process.env.PARLEY_WEB_SHOTS;
    if (shot) {
      for (const person of world.people ?? []) {
        for (const [i, page] of person.tabs.entries()) await page.screenshot({ path: `${shot}/${person.user}${i + 1}.png`, timeout: 3000 }).catch(() => {});
      }
    }
    throw error;
  }
  console.log(`${part.name} (${Date.now() - begin} ms)`);
}

// Every wait has a deadline of its own; this says that one is on, where the machine is slow.
setInterval(() => console.log('…'), 5_000);
main().then(
  () => process.exit(0),
  (error) => {
    console.log(`failed: ${error.stack}`.replaceAll('\n', ' | '));
    process.exit(1);
  },
);
