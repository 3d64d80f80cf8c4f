// Fills a broker with a day's chat and takes the pictures of the docs:
//   node screenshots.js PAGE_URL WS_URL DIRECTORY
// The broker has the accounts alice, bob, carol, dave and erin, with passwords "password of <user>".
import { chromium } from 'playwright-core';

import { Person, eventually, openTalk, row, texts } from './person.js';
import { Sender } from './sender.js';

const [pageUrl, wsUrl, directory] = process.argv.slice(2);

const people = {};
for (const user of ['alice', 'bob', 'carol', 'dave', 'erin']) people[user] = await Sender.open(wsUrl, user);

// One after the other, as it was said; the last says for which message it was meant, or what it is.
async function tell(topicOf, story) {
  for (const [who, body, more] of story) {
    await people[who].tell(topicOf(who), { body, ...more });
  }
}
const between = (a, b) => (who) => `chat/${who === a ? b : a}`;
const group = (id) => () => `group/${id}`;
const ask = (who, method, members) => people[who].tell(`ask/${method}`, members);
const like = (from, id) => ({ type: 'reaction', ref: { from, id } });

for (const user of ['bob', 'carol', 'dave']) {
  await ask('alice', 'contacts.add', { user });
  await ask(user, 'contacts.accept', { user: 'alice' });
}
await ask('alice', 'groups.create', { group: 'saturday', title: 'Saturday on the lake', members: ['bob', 'carol', 'dave'] });
await tell(between('alice', 'dave'), [
  ['dave', 'The photos are in the shared folder now'],
  ['alice', 'Thank you, they are lovely'],
]);
await tell(between('alice', 'erin'), [['erin', 'Are you coming to the reading on Thursday?'], ['erin', 'I have one ticket left.']]);
await tell(group('saturday'), [
  ['alice', 'The boat is ours from ten on. Who brings what?', { id: 'g1' }],
  ['bob', 'Bread, cheese and the big thermos'],
  ['carol', 'I make the lemon cake 🍋', { id: 'g2' }],
  ['dave', '🎉', like('carol', 'g2')],
  ['alice', '🎉', like('carol', 'g2')],
  ['dave', 'Then I bring the music', { ref: { from: 'alice', id: 'g1' } }],
]);
await tell(between('alice', 'bob'), [
  ['bob', 'Morning! Did you hear back about the boat?', { id: 'b1' }],
  ['alice', 'Just now: it is ours, all Saturday', { id: 'a1' }],
  ['alice', 'They only ask that we have it back by seven.', { id: 'a2' }],
  ['bob', '🎉', like('alice', 'a1')],
  ['bob', 'Wonderful.'],
  ['bob', 'The forecast says sun until four, then a little wind from the west. We should be on the way back by then.', { id: 'b2' }],
  ['alice', 'Then let us meet at half past nine', { id: 'a3' }],
  ['alice', 'Then let us meet at half past nine, at the small pier', { id: 'a4', type: 'edit', ref: { from: 'alice', id: 'a3' } }],
  ['bob', 'Not the ferry landing?', { ref: { from: 'alice', id: 'a3' } }],
  ['alice', 'No, the one behind the boathouse: https://lake.example/map', { id: 'a5' }],
  ['bob', '👍', like('alice', 'a5')],
  ['bob', 'See you there!', { id: 'b3' }],
]);

const browser = await chromium.launch({
  executablePath: process.env.PARLEY_CHROMIUM ?? '/usr/bin/chromium',
  args: process.getuid() === 0 ? ['--no-sandbox'] : [],
});
const bob = await new Person(browser, pageUrl, 'bob').start();
await openTalk(bob.tabs[0], 'group/saturday');
await row(bob.tabs[0], 'Then I bring the music').waitFor();
await eventually('the group read', () => bob.tabs[0].locator('.talk', { hasText: 'Saturday' }).locator('.badge').count(), (count) => count === 0);
await openTalk(bob.tabs[0], 'chat/alice');
await row(bob.tabs[0], 'See you there!').waitFor();
for (const [name, options] of [
  ['light', { colorScheme: 'light', viewport: { width: 1180, height: 760 } }],
  ['dark', { colorScheme: 'dark', viewport: { width: 1180, height: 760 } }],
  ['phone', { colorScheme: 'light', viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true }],
]) {
  const alice = await new Person(browser, pageUrl, 'alice').start({ reducedMotion: 'reduce', ...options });
  const [page] = alice.tabs;
  const talk = name === 'dark' ? 'group/saturday' : 'chat/bob';
  await openTalk(page, talk);
  await eventually('the last message', () => texts(page), (shown) => shown.length > 3);
  if (name !== 'dark') await people.bob.publish('typing/alice', { on: true });
  else await people.carol.publish('typing/group/saturday', { on: true });
  await page.locator('p.typing i').first().waitFor();
  if (talk === 'chat/bob') await page.locator('.mark.read').first().waitFor();
  await page.mouse.move(0, 0);
  await page.screenshot({ path: `${directory}/web_${name}.png` });
  await alice.context.close();
}
await browser.close();
process.exit(0);
