import {
  type Marks, type Reaction, type Ref, type TalkId, type WireMessage, placeOf, sameRef,
} from './wire';

// A conversation: its messages in their latest form, as far as they were read, and how far others are.
// Messages are never changed in place: what shows one may compare references.
export class Talk {
  // Ascending, without edits, retractions and reactions, which are folded in.
  messages: WireMessage[] = [];
  // What was said before `messages[0]`: unknown, being read, or nothing.
  older: 'unread' | 'reading' | 'failed' | 'none' = 'unread';
  opened = false; // its newest page was read
  last: WireMessage | undefined; // the newest event, for the list
  lastSeq = 0; // its number in my log; of a topic group, the group's
  unread = 0;
  firstUnread: number | undefined; // my number of the oldest unread message, where it is known
  marks = new Map<string, Marks>(); // how far each of the others is
  typing = new Map<string, number>(); // who, and until when (ms)
  // What came while the newest page was being read, which may or may not have it.
  private meanwhile: WireMessage[] = [];

  constructor(readonly id: TalkId) {}

  // One event of the log.
  add(message: WireMessage): void {
    this.last = message;
    if (this.opened) this.take(message);
    else if (this.older === 'reading') this.meanwhile.push(message);
  }

  private take(message: WireMessage): void {
    if (message.type === 'edit' || message.type === 'retract' || message.type === 'reaction') {
      this.fold(message);
    } else {
      this.insert(message);
    }
  }

  // A page of history, in any order; `more`: there is more before it.
  addPage(page: WireMessage[], more: boolean): void {
    for (const message of page) this.insert(message);
    this.older = more ? 'unread' : 'none';
    this.opened = true;
    for (const message of this.meanwhile.splice(0)) this.take(message);
  }

  find(ref: Ref): WireMessage | undefined {
    return this.messages.find((message) => sameRef(message, ref));
  }

  receipt(by: string, marks: Marks): void {
    const old = this.marks.get(by) ?? {};
    this.marks.set(by, {
      delivered: Math.max(old.delivered ?? 0, marks.delivered ?? 0, marks.read ?? 0),
      read: Math.max(old.read ?? 0, marks.read ?? 0),
    });
  }

  // How far all others are, `others` being their names: one of whom nothing is known is nowhere.
  reached(others: string[]): Required<Marks> {
    const known = others.map((user) => this.marks.get(user));
    const least = (kind: keyof Marks) =>
      known.length === 0 ? 0 : Math.min(...known.map((marks) => marks?.[kind] ?? 0));
    return { delivered: least('delivered'), read: least('read') };
  }

  // Drops the oldest: history has them.
  trim(keep: number): void {
    if (this.messages.length <= keep) return;
    this.messages = this.messages.slice(-keep);
    this.older = 'unread';
  }

  forget(): void {
    this.messages = [];
    this.older = 'unread';
    this.opened = false;
  }

  private insert(message: WireMessage): void {
    const place = placeOf(message);
    let at = this.messages.length;
    while (at > 0 && placeOf(this.messages[at - 1]!) > place) at--;
    const there = this.messages[at - 1];
    const same = there !== undefined && placeOf(there) === place;
    this.messages = [...this.messages.slice(0, same ? at - 1 : at), message, ...this.messages.slice(at)];
  }

  private fold(event: WireMessage): void {
    const at = this.messages.findIndex((message) => event.ref && sameRef(message, event.ref));
    if (at < 0) return; // before what was read: history will have it folded in
    this.messages = this.messages.map((message, i) => (i === at ? folded(message, event) : message));
  }
}

function folded(message: WireMessage, event: WireMessage): WireMessage {
  switch (event.type) {
    case 'edit':
      return message.retracted ? message : { ...message, body: event.body, edited: event.ts };
    case 'retract': {
      const { body: _, ...rest } = message;
      return { ...rest, retracted: event.ts };
    }
    default:
      return { ...message, reactions: reacted(message.reactions ?? [], event) };
  }
}

// Each has one; "" takes it back.
function reacted(reactions: Reaction[], event: WireMessage): Reaction[] {
  const others = reactions.filter((one) => one.from !== event.from);
  return event.body === '' ? others : [...others, { from: event.from, body: event.body }];
}

// Whether it counts as unread to `me`.
export const isNews = (message: WireMessage, me: string): boolean =>
  message.type !== 'system' && message.from !== me;
