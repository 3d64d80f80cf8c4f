import { type Storage } from './storage';
import { type MessageType, type Ref, type TalkId, type WireError } from './wire';

export interface Outgoing {
  id: string;
  talk: TalkId;
  type: MessageType;
  body?: unknown;
  ref?: Ref;
  ts: number;
  error?: WireError; // it was refused for good: it stays until it is sent again or dropped
}

const prefix = 'parley.outbox.';
export const outboxKey = (device: string): string => prefix + device;

// The devices of a user that have something unsent in this browser.
export const devicesUnsent = (storage: Storage, user: string): string[] =>
  storage.keys(`${prefix}${user}:`).map((key) => key.slice(prefix.length));

const savedOutbox = (storage: Storage, key: string): Outgoing[] => storage.get<Outgoing[]>(key) ?? [];

export const unsentOf = (storage: Storage, device: string): Outgoing[] => savedOutbox(storage, outboxKey(device));

// Takes what a device hasn't sent, that another may send it.
export function takeUnsent(storage: Storage, device: string): Outgoing[] {
  const list = unsentOf(storage, device);
  storage.remove(outboxKey(device));
  return list;
}

// The messages that were written and of which the server has not said yet that it stored them. They
// keep their ids, so that sending them again, after a lost connection or a reload, makes no double.
export class Outbox {
  private list: Outgoing[];

  constructor(
    private readonly storage: Storage,
    private readonly key: string,
  ) {
    this.list = savedOutbox(storage, key);
  }

  get all(): readonly Outgoing[] {
    return this.list;
  }
  get waiting(): Outgoing[] {
    return this.list.filter((one) => !one.error);
  }
  find(id: string): Outgoing | undefined {
    return this.list.find((one) => one.id === id);
  }

  add(outgoing: Outgoing): void {
    this.replace([...this.list, outgoing]);
  }
  // Stored, or dropped. False if there is none.
  remove(id: string): boolean {
    if (!this.find(id)) return false;
    this.replace(this.list.filter((one) => one.id !== id));
    return true;
  }
  refuse(id: string, error: WireError): void {
    this.replace(this.list.map((one) => (one.id === id ? { ...one, error } : one)));
  }
  // To be sent again, with the same id.
  revive(id: string): void {
    this.replace(this.list.map(({ error, ...one }) => (one.id === id || !error ? one : { ...one, error })));
  }

  private replace(list: Outgoing[]): void {
    this.list = list;
    if (list.length > 0) this.storage.set(this.key, list);
    else this.storage.remove(this.key);
  }
}

// 16 characters that nobody has had before.
export function freshId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_');
}
