// A user in a browser of its own, with tabs; and what a test waits for in them.
import assert from 'node:assert/strict';

export const deadlineMs = 30_000;

export class Person {
  constructor(browser, url, user) {
    Object.assign(this, { browser, url, user, tabs: [], problems: [], asked: new Set() });
  }

  async start(options = {}) {
    this.context = await this.browser.newContext({ viewport: { width: 1200, height: 800 }, locale: 'en-GB', ...options });
    this.context.setDefaultTimeout(deadlineMs);
    await this.signIn(await this.openTab());
    return this;
  }

  async openTab(page = undefined) {
    page ??= await this.context.newPage();
    // A policy that is violated says so here, as do exceptions.
    page.on('console', (message) => {
      if (message.type() === 'error' && !/WebSocket (connection|is already in CLOSING)/.test(message.text())) this.problems.push(message.text());
    });
    page.on('pageerror', (error) => this.problems.push(String(error)));
    page.on('request', (request) => this.asked.add(new URL(request.url()).origin));
    page.on('websocket', (socket) => this.asked.add(new URL(socket.url()).origin));
    await page.goto(this.url);
    this.tabs.push(page);
    return page;
  }

  // One more tab, which needs no password. In a window of its own: of those in one window, Chromium draws
  // all but the last once a second, and each click waits for two frames.
  async secondTab() {
    const opened = this.context.waitForEvent('page');
    await this.tabs[0].evaluate(() => { open('about:blank', '_blank', 'popup,noopener,width=1200,height=800'); });
    const page = await this.openTab(await opened);
    await this.ready(page);
    return page;
  }

  async signIn(page, password = `password of ${this.user}`) {
    await page.getByLabel('Name').fill(this.user);
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await this.ready(page);
  }

  ready(page) {
    return page.getByRole('button', { name: 'New conversation' }).waitFor();
  }
}

export async function openTalk(page, talk) {
  await page.evaluate((hash) => { location.hash = hash; }, `#${talk}`);
  await page.getByRole('textbox', { name: /^Message to/ }).waitFor();
}

export async function say(page, text) {
  const field = page.getByRole('textbox', { name: /^Message to/ });
  await field.fill(text);
  await field.press('Enter');
}

// The texts of the messages that are shown, in order.
export const texts = (page) => page.locator('.messages .text').allTextContents();

// The row of a message by its whole text.
export const row = (page, text) =>
  page.locator('.messages .row').filter({ has: page.locator('.text', { hasText: new RegExp(`^${escape(text)}$`) }) });

const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

// Waits until `read` gives what `good` takes.
export async function eventually(what, read, good) {
  const end = Date.now() + deadlineMs;
  let value;
  do {
    value = await read();
    if (good(value)) return value;
    await new Promise((done) => setTimeout(done, 50));
  } while (Date.now() < end);
  assert.fail(`${what}: ${JSON.stringify(value)}`);
}

export const shows = (page, expected) =>
  eventually('the messages shown', () => texts(page), (shown) => JSON.stringify(shown) === JSON.stringify(expected));

// Chooses one of the actions of a message.
export async function act(page, text, action) {
  await row(page, text).hover();
  await row(page, text).getByRole('button', { name: action, exact: true }).click();
}
