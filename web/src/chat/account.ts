import { type OpenLink, ConnectionLost } from './connection';
import { freshId } from './outbox';
import { type Storage } from './storage';
import { type WireError, Refused } from './wire';

interface Token {
  token: string;
  expires: number; // ms
}

// Who is signed in in this browser. The password isn't kept, only tokens: one for each of the devices
// that this browser's tabs are, `user:web-browser-1` and so on, for a device has one connection.
export interface Account {
  user: string;
  browser: string;
  tokens: Record<number, Token>;
}

const key = 'parley.account';
const tokenDays = 30;
const dayMs = 24 * 3600 * 1000;
// So many tabs may be opened next before one of them has connected.
const spares = 4;

export const deviceOf = (user: string, browser: string, tab: number): string => `${user}:web-${browser}-${tab}`;

export const savedAccount = (storage: Storage): Account | undefined => storage.get<Account>(key);
export const forgetAccount = (storage: Storage): void => storage.remove(key);

// What was written and not sent, and how far was read: of all users, or all but one.
export function forgetTraces(storage: Storage, butOf?: string): void {
  for (const kept of [...storage.keys('parley.outbox.'), ...storage.keys('parley.read.')]) {
    const user = kept.split('.').slice(2).join('.').split(':')[0];
    if (user !== butOf) storage.remove(kept);
  }
}

export function tokenOf(account: Account, tab: number): string | undefined {
  const token = account.tokens[tab];
  return token && token.expires > Date.now() ? token.token : undefined;
}

export type Ask = <T>(method: string, members?: object) => Promise<T>;

// Gets what is missing of the tokens for this tab and the next ones, or soon expires.
export async function renewTokens(storage: Storage, account: Account, tab: number, ask: Ask): Promise<Account> {
  const soon = Date.now() + (tokenDays / 2) * dayMs;
  const wanted = Array.from({ length: spares + 1 }, (_, i) => tab + i).filter(
    (one) => (account.tokens[one]?.expires ?? 0) < soon,
  );
  const fresh = await Promise.all(
    wanted.map((one) =>
      ask<Token>('account.token', {
        ttl: tokenDays * 24 * 3600,
        device: deviceOf(account.user, account.browser, one),
      }),
    ),
  );
  if (wanted.length === 0) return account;
  // Another tab may have saved some meanwhile.
  const saved = savedAccount(storage);
  const tokens = { ...account.tokens, ...(saved?.user === account.user ? saved.tokens : {}) };
  wanted.forEach((one, i) => {
    tokens[one] = { token: fresh[i]!.token, expires: fresh[i]!.expires };
  });
  const renewed = { ...account, tokens };
  storage.set(key, renewed);
  return renewed;
}

// Ends what this browser may do: its devices are removed, this one the last, and with them their tokens.
export async function revokeTokens(account: Account, tab: number, ask: Ask): Promise<void> {
  const tabs = Object.keys(account.tokens).map(Number).filter((one) => one !== tab);
  for (const one of [...tabs, tab]) {
    // One that never was connected isn't known, and its token is forgotten with the others.
    await ask('devices.remove', { device: deviceOf(account.user, account.browser, one) }).catch(() => {});
  }
}

export class WrongPassword extends Error {
  constructor() {
    super('wrong name or password');
  }
}

// Logs in once with the password and changes it for tokens. Rejects with WrongPassword,
// ConnectionLost or Refused.
export function signIn(storage: Storage, open: OpenLink, user: string, password: string): Promise<Account> {
  const account: Account = { user, browser: freshId().slice(0, 6).toLowerCase(), tokens: {} };
  const device = `${user}:web-${account.browser}-0`;
  return new Promise((resolve, reject) => {
    let letIn = false;
    const asked = new Map<string, { resolve(answer: never): void; reject(error: Error): void }>();
    const link = open({ user, device, secret: () => password }, {
      up: () => {
        letIn = true;
        const ask: Ask = (method, members) =>
          new Promise((done, failed) => {
            const rid = String(asked.size + 1);
            asked.set(rid, { resolve: done, reject: failed });
            link.publish(`ask/${method}`, JSON.stringify({ rid, ...members }));
          });
        renewTokens(storage, account, 1, ask)
          .then((signedIn) => (forgetTraces(storage, user), resolve(signedIn)), reject)
          .finally(() => link.close());
      },
      message: (_topic, payload) => {
        const answer = JSON.parse(payload) as { rid: string; ok: boolean; error: WireError };
        if (answer.ok) asked.get(answer.rid)?.resolve(answer as never);
        else asked.get(answer.rid)?.reject(new Refused(answer.error));
      },
      // The server may let a client in while it still looks at the password, and close then.
      down: (why) => reject(why === 'refused' || letIn ? new WrongPassword() : new ConnectionLost()),
    });
  });
}
