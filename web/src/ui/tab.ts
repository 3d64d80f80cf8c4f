import { type Account, deviceOf } from '../chat/account';
import { type Outgoing, devicesUnsent, takeUnsent } from '../chat/outbox';
import { type Storage } from '../chat/storage';

// Which of the browser's devices this tab is: 1, 2, 3, …, each held by one tab at a time. Pages that
// weren't loaded securely have no locks: all their tabs are the first, and the latest has it.
const tabsMax = 20;

export async function takeTab(user: string): Promise<number> {
  if (!navigator.locks) return 1;
  for (let tab = 1; tab < tabsMax; tab++) {
    if (await hold(lockOf(user, tab))) return tab;
  }
  return tabsMax;
}

// The devices of this browser that have something unsent and whose tab is gone, or who were signed out: what
// they have not sent is given to `take`. Should two tabs do so at once, both send it with the same ids.
export async function adoptUnsent(
  storage: Storage, { user, browser }: Account, tab: number, take: (unsent: Outgoing[]) => void,
): Promise<void> {
  const prefix = deviceOf(user, browser, 0).slice(0, -1);
  for (const device of devicesUnsent(storage, user)) {
    const other = device.startsWith(prefix) ? Number(device.slice(prefix.length)) : 0;
    if (other === tab || (other > 0 && !(await isGone(lockOf(user, other))))) continue;
    take(takeUnsent(storage, device));
  }
}

const lockOf = (user: string, tab: number): string => `parley.${user}.${tab}`;

// Whether no page has a lock. Without locks nobody knows.
async function isGone(name: string): Promise<boolean> {
  if (!navigator.locks) return false;
  return navigator.locks.request(name, { ifAvailable: true }, (lock) => lock !== null);
}

// Holds a lock until the page goes. False where another has it.
function hold(name: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(name, { ifAvailable: true }, (lock) => {
        resolve(lock !== null);
        return lock ? new Promise<void>(() => {}) : undefined;
      })
      .catch(reject);
  });
}
