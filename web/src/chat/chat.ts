import { Connection, type Login, type OpenLink } from './connection';
import { type LogPage, NumberedLog } from './numbered_log';
import { Outbox, type Outgoing, freshId, outboxKey } from './outbox';
import { People } from './people';
import { type Storage } from './storage';
import { Talk, isNews } from './talk';
import {
  type Contact, type Group, type Listed, type Marks, type MessageType, type Presence, type Ref, type TalkId,
  type WireError, type WireMessage, Refused, chatWith, inGroup, isGroup, nameOf, placeOf, talkOf,
} from './wire';

interface SyncAnswer extends LogPage {
  head: number;
  epoch: string;
}
interface HistoryAnswer extends LogPage, Marks {
  receipts?: ({ by: string } & Marks)[];
}
interface RecentAnswer {
  conversations: { with?: string; group?: string; unread: number; messages: WireMessage[] }[];
  head: number;
  epoch: string;
}

const syncPage = 500;
const historyPage = 40;
// Further behind than this it is quicker to start again.
const behindMax = 2000;
const earlyMax = 1000;
const keptOfClosed = 100;
const talksPage = 100;
const listPage = 1000;
const membersPage = 300;
const resumeMs = 2_000;
const receiptDelayMs = 150;
const resendMs = 8_000;
const busyPauseMs = 2_000;
const typingEveryMs = 3_000;
const typingLastsMs = 6_000;

// All that one signed-in device knows and does. The page shows it; it knows no page.
export class Chat {
  readonly me: string;
  readonly connection: Connection;
  readonly outbox: Outbox;
  readonly people = new People();
  readonly talks = new Map<TalkId, Talk>();
  readonly groups = new Map<string, Group>();
  // The lists have been read since the page began; until then there is nothing to show.
  loaded = false;
  // Caught up with the log over the present connection.
  current = false;
  openTalk: TalkId | undefined;
  // What was begun in each conversation and not sent.
  readonly drafts = new Map<TalkId, string>();
  // There are more conversations, before this number of my log.
  olderTalks: number | undefined;

  private log: NumberedLog | undefined;
  private groupLogs = new Map<string, NumberedLog>();
  private early: WireMessage[] = []; // what came before the log's head was known
  private epoch = '';
  private readTo: Record<string, number>; // by `numberingOf`
  private sent = { delivered: 0, read: 0 };
  private notBefore = 0; // when the server will take messages again (ms)
  private sentAt = new Map<string, number>(); // when a message of the outbox was last sent (ms)
  private readingTalks = false;
  private stale = new Set<TalkId>(); // receipts may have been missed
  private typingSent = new Map<TalkId, number>();
  private timers = new Map<string, ReturnType<typeof setTimeout>>();

  // `changed` is called after anything that is shown has changed; `arrived` for each message from
  // somebody else that is new; `refused` for an edit, a deletion or a reaction that was, and is dropped.
  constructor(
    login: Login,
    open: OpenLink,
    private readonly storage: Storage,
    private readonly changed: () => void,
    private readonly arrived: (message: WireMessage, talk: Talk) => void = () => {},
    private readonly refused: (what: Outgoing, why: WireError) => void = () => {},
  ) {
    this.me = login.user;
    this.outbox = new Outbox(storage, outboxKey(login.device));
    this.beginTalks();
    this.readTo = storage.get(this.readKey) ?? {};
    this.connection = new Connection(login, open, {
      changed: () => this.onState(),
      up: () => void this.begin(),
      message: (topic, payload) => this.onMessage(topic, payload),
    });
  }

  start(): void {
    this.connection.start();
  }
  stop(): void {
    for (const timer of this.timers.values()) clearTimeout(timer);
    this.timers.clear();
    this.connection.close();
  }

  // The conversations, the latest first.
  get list(): Talk[] {
    return [...this.talks.values()].filter((talk) => this.timeOf(talk)).sort((a, b) => this.timeOf(b) - this.timeOf(a));
  }
  // Those in which something was written and not sent yet.
  private beginTalks(): void {
    for (const { talk } of this.outbox.all) this.talk(talk);
  }
  // When something was last said there, or written and not sent yet; 0: never.
  timeOf(talk: Talk): number {
    return Math.max(talk.last?.ts ?? 0, this.unsentIn(talk).at(-1)?.ts ?? 0);
  }
  unsentIn(talk: Talk): Outgoing[] {
    return this.outbox.all.filter((one) => one.talk === talk.id);
  }
  get unread(): number {
    return [...this.talks.values()].reduce((sum, talk) => sum + talk.unread, 0);
  }
  talk(id: TalkId): Talk {
    let talk = this.talks.get(id);
    if (!talk) this.talks.set(id, (talk = new Talk(id)));
    return talk;
  }
  titleOf(id: TalkId): string {
    return (isGroup(id) && this.groups.get(nameOf(id))?.title) || nameOf(id);
  }
  membersOf(id: TalkId): string[] {
    return this.groups.get(nameOf(id))?.members?.map((member) => member.user) ?? [];
  }

  // How far a message of mine is.
  progress(talk: Talk, message: WireMessage): 'stored' | 'delivered' | 'read' {
    const others = isGroup(talk.id) ? this.membersOf(talk.id).filter((user) => user !== this.me) : [nameOf(talk.id)];
    const { delivered, read } = talk.reached(others);
    const place = placeOf(message);
    if (place <= read) return 'read';
    return place <= delivered ? 'delivered' : 'stored';
  }

  // ---- Writing

  send(talk: TalkId, type: MessageType, body?: unknown, ref?: Ref): void {
    const outgoing: Outgoing = { id: freshId(), talk, type, body, ts: Date.now() };
    if (ref) outgoing.ref = { from: ref.from, id: ref.id };
    this.outbox.add(outgoing);
    this.talk(talk);
    this.typing(talk, false);
    if (this.current && this.notBefore <= Date.now()) this.transmit(outgoing);
    this.changed();
  }
  // What another tab of this browser wrote and could not send before it was closed.
  adopt(list: Outgoing[]): void {
    for (const outgoing of list) if (!this.outbox.find(outgoing.id)) this.outbox.add(outgoing);
    this.beginTalks();
    this.sendWaiting(true);
    this.changed();
  }
  retry(id: string): void {
    this.outbox.revive(id);
    this.sendWaiting(true);
    this.changed();
  }
  drop(id: string): void {
    this.outbox.remove(id);
    this.changed();
  }

  private transmit({ id, talk, type, body, ref }: Outgoing): void {
    if (this.connection.publish(talk, { id, type, body, ref })) this.sentAt.set(id, Date.now());
    this.later('resend', resendMs, () => this.sendWaiting(false));
  }

  // In the order in which they were written; `all`, or those that were sent long ago.
  private sendWaiting(all: boolean): void {
    if (!this.current) return;
    const pause = this.notBefore - Date.now();
    if (pause > 0) return this.later('again', pause, () => this.sendWaiting(true));
    const before = Date.now() - resendMs + 100;
    for (const outgoing of this.outbox.waiting) {
      if (all || (this.sentAt.get(outgoing.id) ?? 0) <= before) this.transmit(outgoing);
    }
    if (this.outbox.waiting.length > 0) this.later('resend', resendMs, () => this.sendWaiting(false));
  }

  private onOutcome(outcome: { ok: boolean; id?: string; error?: WireError }): void {
    const outgoing = outcome.id === undefined ? undefined : this.outbox.find(outcome.id);
    if (!outgoing) return;
    if (outcome.ok) this.outbox.remove(outgoing.id);
    else this.onRefusal(outgoing, new Refused(outcome.error!), outcome.error!);
    this.changed();
  }
  private onRefusal(outgoing: Outgoing, refused: Refused, why: WireError): void {
    if (refused.passing) {
      this.notBefore = Math.max(this.notBefore, Date.now() + (refused.retryAfterMs || busyPauseMs));
      return this.sendWaiting(true);
    }
    if (outgoing.type === 'message') return this.outbox.refuse(outgoing.id, why);
    this.outbox.remove(outgoing.id);
    this.refused(outgoing, why);
  }

  // ---- Reading

  // Shows a conversation: reads its newest page where that is not at hand.
  async open(id: TalkId | undefined): Promise<void> {
    if (this.openTalk && this.openTalk !== id) this.talks.get(this.openTalk)?.trim(keptOfClosed);
    this.openTalk = id;
    if (!id) return this.changed();
    const talk = this.talk(id);
    this.changed();
    if (isGroup(id)) void this.refreshGroup(nameOf(id));
    if (!talk.opened) await this.loadOlder(talk);
    else if (this.stale.has(id)) await this.refreshMarks(talk);
  }

  async loadOlder(talk: Talk): Promise<void> {
    if (talk.older === 'reading' || talk.older === 'none' || !this.connection.up) return;
    talk.older = 'reading';
    this.changed();
    const first = talk.messages[0];
    try {
      const page = await this.history(talk, historyPage, first && placeOf(first));
      talk.addPage(page.messages, page.more);
      this.takeMarks(talk, page);
    } catch (error) {
      const never = error instanceof Refused && !error.passing;
      talk.older = never ? 'none' : 'failed';
      talk.opened ||= never;
    }
    this.changed();
  }

  // All that is in a conversation was seen.
  markRead(talk: Talk): void {
    const numbering = this.numberingOf(talk.id);
    if (talk.unread === 0 && (this.readTo[numbering] ?? 0) >= talk.lastSeq) return;
    this.readTo[numbering] = talk.lastSeq;
    this.storage.set(this.readKey, this.readTo);
    this.setRead(talk);
    this.changed();
  }
  // Another tab of this browser has read.
  readElsewhere(): void {
    this.readTo = this.storage.get(this.readKey) ?? {};
    for (const talk of this.talks.values()) {
      if (this.readToOf(talk.id) >= talk.lastSeq) this.setRead(talk);
    }
    this.changed();
  }
  private get readKey(): string {
    return `parley.read.${this.me}`;
  }
  // A group that goes from one delivery to the other is counted in other numbers.
  private numberingOf(id: TalkId): string {
    return this.isTopic(id) ? `topic/${nameOf(id)}` : id;
  }
  private readToOf(id: TalkId): number {
    return this.readTo[this.numberingOf(id)] ?? 0;
  }
  private setRead(talk: Talk): void {
    talk.unread = 0;
    talk.firstUnread = undefined;
    if (this.isTopic(talk.id)) this.sendGroupReceipt(talk);
    else this.later('receipt', receiptDelayMs, () => this.sendReceipt());
  }
  private sendGroupReceipt(talk: Talk): void {
    const group = nameOf(talk.id);
    const read = Math.min(this.readToOf(talk.id), talk.lastSeq);
    if (!this.groupLogs.has(group) || read <= (this.groups.get(group)?.read ?? 0)) return;
    if (!this.connection.publish(`receipt/${this.me}`, { group, read })) return;
    this.groups.set(group, { ...this.groups.get(group)!, read });
  }

  // A receipt says "read" of everything up to a number, whichever conversation it is in. So it goes up
  // to the first message that waits unread in any of them, and no further.
  private get allReadTo(): number {
    let first = (this.log?.last ?? 0) + 1;
    for (const [id, talk] of this.talks) {
      if (talk.unread === 0 || this.isTopic(id)) continue;
      first = Math.min(first, talk.firstUnread ?? 1);
    }
    return first - 1;
  }

  private sendReceipt(): void {
    if (!this.log || !this.current) return;
    const receipt: Marks = {};
    if (this.log.last > this.sent.delivered) receipt.delivered = this.sent.delivered = this.log.last;
    if (this.allReadTo > this.sent.read) receipt.read = this.sent.read = this.allReadTo;
    if (receipt.delivered || receipt.read) this.connection.publish(`receipt/${this.me}`, receipt);
  }

  private history(talk: Talk, limit: number, before?: number): Promise<HistoryAnswer> {
    const of = isGroup(talk.id) ? { group: nameOf(talk.id) } : { with: nameOf(talk.id) };
    return this.connection.ask<HistoryAnswer>('history', { ...of, limit, before });
  }

  private async refreshMarks(talk: Talk): Promise<void> {
    try {
      this.takeMarks(talk, await this.history(talk, 1));
      this.changed();
    } catch {
      // It stays stale.
    }
  }

  private takeMarks(talk: Talk, page: HistoryAnswer): void {
    if (!isGroup(talk.id)) talk.receipt(nameOf(talk.id), page);
    for (const { by, ...marks } of page.receipts ?? []) talk.receipt(by, marks);
    this.stale.delete(talk.id);
  }

  // ---- Typing

  typing(talk: TalkId, on: boolean): void {
    const sent = this.typingSent.get(talk) ?? 0;
    if (on ? Date.now() - sent < typingEveryMs : sent === 0) return;
    this.typingSent.set(talk, on ? Date.now() : 0);
    const topic = isGroup(talk) ? `typing/${talk}` : `typing/${nameOf(talk)}`;
    this.connection.publish(topic, { on });
  }

  private onTyping(event: { from: string; group?: string; on: boolean }): void {
    const talk = this.talks.get(event.group !== undefined ? inGroup(event.group) : chatWith(event.from));
    if (!talk || event.from === this.me) return;
    if (event.on) talk.typing.set(event.from, Date.now() + typingLastsMs);
    else talk.typing.delete(event.from);
    this.later('typing', typingLastsMs + 50, () => this.expireTyping());
    this.changed();
  }

  private expireTyping(): void {
    const now = Date.now();
    for (const talk of this.talks.values()) {
      for (const [user, until] of talk.typing) if (until <= now) talk.typing.delete(user);
    }
    this.changed();
  }

  // ---- People and groups

  async contact(action: 'add' | 'accept' | 'remove' | 'block' | 'unblock', user: string): Promise<void> {
    const { contact } = await this.connection.ask<{ contact: Contact }>(`contacts.${action}`, { user });
    this.people.addContacts([contact]);
    if (contact.state === 'accepted') await this.refreshPresence();
    this.changed();
  }

  async createGroup(group: string, title: string, members: string[]): Promise<TalkId> {
    this.takeGroup(await this.connection.ask<Group>('groups.create', { group, title: title || undefined, members }));
    return inGroup(group);
  }
  async changeGroup(
    change: 'add' | 'remove' | 'leave' | 'set' | 'set_role' | 'join',
    group: string,
    members: object = {},
  ): Promise<void> {
    await this.connection.ask(`groups.${change}`, { group, ...members });
    await this.refreshGroup(group);
  }
  async refreshGroup(group: string): Promise<void> {
    try {
      this.takeGroup(await this.connection.ask<Group>('groups.get', { group, limit: membersPage }));
      if (this.isTopic(inGroup(group)) && !this.groupLogs.has(group)) await this.refreshGroups();
    } catch (error) {
      if (error instanceof Refused && !error.passing) this.loseGroup(group);
    }
    this.changed();
  }
  async moreMembers(group: string): Promise<void> {
    const after = this.groups.get(group)?.members?.at(-1)?.user;
    const page = await this.connection.ask<Group>('groups.get', { group, after, limit: membersPage });
    const known = this.groups.get(group)?.members ?? [];
    if (known.at(-1)?.user === after) this.takeGroup({ ...page, members: [...known, ...(page.members ?? [])] });
    this.changed();
  }

  private takeGroup(group: Group): void {
    const id = inGroup(group.group);
    const wasTopic = this.isTopic(id);
    this.groups.set(group.group, { ...this.groups.get(group.group), ...group });
    if (group.delivery === 'topic') return this.followGroup(group);
    this.groupLogs.delete(group.group);
    if (wasTopic) this.countByMyLog(this.talk(id));
  }
  // I am not in it, or not any more.
  private loseGroup(group: string): void {
    const known = this.groups.get(group) ?? { group, delivery: 'inbox', head: 0, count: 0 };
    this.groups.set(group, { ...known, role: 'none', members: [] });
    this.groupLogs.delete(group);
  }
  private isTopic(id: TalkId): boolean {
    return isGroup(id) && this.groups.get(nameOf(id))?.delivery === 'topic';
  }
  // What was unread by the group's numbers has none in my log.
  private countByMyLog(talk: Talk): void {
    const last = this.log?.last ?? 0;
    talk.lastSeq = last;
    talk.firstUnread = last + 1;
  }

  // A topic group isn't in my log: it has numbers and a subscription of its own. How far I have read it
  // is in the list of my groups alone.
  private followGroup({ group, head, unread, read }: Group): void {
    if (this.groupLogs.has(group) || unread === undefined || read === undefined) return;
    const talk = this.talk(inGroup(group));
    const readTo = Math.max(read, this.readToOf(talk.id));
    this.readTo[this.numberingOf(talk.id)] = readTo;
    talk.unread = Math.min(unread, Math.max(0, head - readTo));
    talk.firstUnread = undefined;
    talk.lastSeq = head;
    // What was said since the last message that is shown comes too.
    const shown = talk.messages.at(-1);
    const log = new NumberedLog(shown ? placeOf(shown) : head, (m) => m.gseq ?? 0, (m) => this.apply(m, m.gseq ?? 0),
      (after) => this.connection.ask<LogPage>('sync', { group, after, limit: syncPage }));
    this.groupLogs.set(group, log);
  }
  private async resumeGroup(group: string, log: NumberedLog): Promise<void> {
    const talk = this.talk(inGroup(group));
    try {
      await this.connection.subscribe([`group/${group}`]);
      await log.catchUp();
      this.sendGroupReceipt(talk);
      if ((talk.last?.gseq ?? 0) < log.last) talk.last = (await this.history(talk, 1)).messages[0] ?? talk.last;
    } catch {
      await this.resumeLater(group, log);
    }
    this.changed();
  }
  // The others go on meanwhile. Where the connection went, the next one resumes it.
  private async resumeLater(group: string, log: NumberedLog): Promise<void> {
    const follows = () => this.connection.up && this.groupLogs.get(group) === log;
    if (follows()) await this.refreshGroup(group);
    if (follows()) this.later(`resume ${group}`, resumeMs, () => follows() && void this.resumeGroup(group, log));
  }

  private async refreshGroups(): Promise<void> {
    const known = new Set([...this.groups.keys(), ...[...this.talks.keys()].filter(isGroup).map(nameOf)]);
    const groups = await this.allPages<Group>('groups.list', 'groups', ({ group }) => group);
    const mine = new Set(groups.map(({ group }) => group));
    for (const group of groups) this.takeGroup(group);
    for (const group of known) if (!mine.has(group)) this.loseGroup(group);
    for (const [group, log] of this.groupLogs) await this.resumeGroup(group, log);
  }

  // A list that comes in pages, each of what is after an id.
  private async allPages<T>(method: string, name: string, idOf: (one: T) => string): Promise<T[]> {
    const all: T[] = [];
    for (let more = true; more; ) {
      const after = all.length > 0 ? idOf(all.at(-1)!) : undefined;
      const page = await this.connection.ask<Record<string, unknown>>(method, { after, limit: listPage });
      const found = page[name] as T[];
      all.push(...found);
      more = page.more === true && found.length > 0;
    }
    return all;
  }

  private async refreshPresence(): Promise<void> {
    const { users } = await this.connection.ask<{ users: Presence[] }>('presence', { contacts: true });
    this.people.setPresence(users, true);
  }

  // ---- The connection

  private onState(): void {
    if (!this.connection.up) {
      this.current = false;
      this.people.forgetPresence();
      for (const talk of this.talks.values()) {
        this.stale.add(talk.id);
        talk.typing.clear();
        if (talk.older === 'reading') talk.older = 'failed';
      }
    }
    this.changed();
  }

  private async begin(): Promise<void> {
    const { me, connection } = this;
    try {
      await connection.subscribe(['chat', 'receipt', 'presence', 'typing'].map((kind) => `${kind}/${me}`));
      if (this.log) await this.log.catchUp();
      if (!this.log) await this.load();
      this.becomeCurrent();
      await this.refreshPeople();
    } catch {
      // The connection went, and comes again; or the server refuses now what it must not for ever.
      if (connection.up) this.later('begin', 2_000, () => connection.up && connection.renew());
    }
  }

  private becomeCurrent(): void {
    this.current = true;
    this.sent = { delivered: 0, read: 0 };
    this.sendReceipt();
    this.sendWaiting(true);
    const open = this.openTalk && this.talks.get(this.openTalk);
    if (open && !open.opened) void this.loadOlder(open);
    else if (open) void this.refreshMarks(open);
    this.changed();
  }

  private async refreshPeople(): Promise<void> {
    const [contacts] = await Promise.all([
      this.allPages<Contact>('contacts.list', 'contacts', ({ user }) => user),
      this.refreshGroups(),
      this.refreshPresence(),
    ]);
    this.people.setContacts(contacts);
    this.loaded = true;
    this.changed();
  }

  // Where the log stands, and the conversations up to there.
  private async load(): Promise<void> {
    const recent = await this.connection.ask<RecentAnswer>('recent');
    this.olderTalks = undefined;
    // All that have something unread: a receipt for what is read of the others must not pass it.
    while ((await this.readTalks(recent)) && this.olderTalks);
    this.epoch = recent.epoch;
    this.log = new NumberedLog(recent.head, (m) => m.seq ?? 0, (m) => this.apply(m, m.seq ?? 0),
      (after) => this.sync(after));
    for (const message of this.early.splice(0)) this.log.offer(message);
  }

  // The next page of the list of conversations; resolves to whether any has something unread.
  private async readTalks(recent: RecentAnswer): Promise<boolean> {
    const members = { limit: talksPage, before: this.olderTalks };
    const page = await this.connection.ask<{ conversations: Listed[]; more: boolean }>('conversations', members);
    for (const listed of page.conversations) this.takeListed(listed, recent);
    this.olderTalks = page.more ? page.conversations.at(-1)?.last.seq : undefined;
    return page.conversations.some(({ unread }) => unread > 0);
  }
  async loadOlderTalks(): Promise<void> {
    if (!this.olderTalks || !this.current || this.readingTalks) return;
    this.readingTalks = true;
    await this.readTalks({ conversations: [], head: 0, epoch: '' }).catch(() => {});
    this.readingTalks = false;
    this.changed();
  }

  private takeListed(listed: Listed, recent: RecentAnswer): void {
    const id = listed.group !== undefined ? inGroup(listed.group) : chatWith(listed.with!);
    const talk = this.talk(id);
    if (this.log && talk.last) return; // it is known from what came since
    talk.last = listed.last;
    talk.lastSeq = listed.last.seq ?? 0;
    talk.unread = listed.unread;
    const readTo = this.readToOf(id);
    const page = recent.conversations.find((one) => (listed.group ? one.group === listed.group : one.with === listed.with));
    const news = (page?.messages ?? []).filter((message) => isNews(message, this.me));
    const known = news.slice(0, listed.unread).filter((message) => message.seq! > readTo);
    const all = news.length >= listed.unread || (page?.messages.at(-1)?.seq ?? Infinity) <= readTo;
    if (talk.lastSeq <= readTo) talk.unread = 0;
    else if (all) talk.unread = known.length;
    talk.firstUnread = all ? known.at(-1)?.seq : undefined;
  }

  private async sync(after: number): Promise<LogPage> {
    const page = await this.connection.ask<SyncAnswer>('sync', { after, limit: syncPage });
    if (page.epoch === this.epoch && page.head - after <= behindMax) return page;
    this.reset();
    return { messages: [], more: false };
  }

  // What is held here isn't the log any more, or is too far behind it.
  private reset(): void {
    this.log = undefined;
    this.groupLogs.clear();
    for (const talk of this.talks.values()) talk.forget();
    this.talks.clear();
    if (this.openTalk) this.talk(this.openTalk);
    this.beginTalks();
    // A new connection reads it all; one that has just begun does so anyway.
    if (this.current) this.connection.renew();
  }

  // ---- What arrives

  private onMessage(topic: string, payload: string): void {
    const message = JSON.parse(payload) as never;
    if (topic.startsWith('answer/')) return this.onOutcome(message);
    if (topic.startsWith('typing/')) return this.onTyping(message);
    if (topic.startsWith('presence/')) return this.onPresence(message);
    if (topic.startsWith('receipt/')) return this.onReceipt(message);
    if (topic.startsWith('group/')) return this.onGroupMessage(message);
    this.onInbox(message);
  }

  private onInbox(message: WireMessage): void {
    if (this.log) this.log.offer(message);
    else if (this.early.length < earlyMax) this.early.push(message);
    this.settle(message);
  }
  private onGroupMessage(message: WireMessage): void {
    this.groupLogs.get(message.group!)?.offer(message);
    this.settle(message);
  }
  // A message of mine that is in the log, be it for the second time, need not be sent any more.
  private settle(message: WireMessage): void {
    if (message.from !== this.me) return;
    this.sentAt.delete(message.id);
    if (this.outbox.remove(message.id)) this.changed();
  }

  // The next message of a log, `number` being its place there.
  private apply(message: WireMessage, number: number): void {
    const talk = this.talk(talkOf(message, this.me));
    this.settle(message);
    talk.typing.delete(message.from);
    if (number > talk.lastSeq || !talk.last) this.count(talk, message, number);
    talk.add(message);
    if (message.type === 'system') this.later(talk.id, 100, () => void this.refreshGroup(nameOf(talk.id)));
    this.later('receipt', receiptDelayMs, () => this.sendReceipt());
    this.changed();
  }

  private count(talk: Talk, message: WireMessage, number: number): void {
    talk.lastSeq = number;
    if (!isNews(message, this.me) || number <= this.readToOf(talk.id)) return;
    if (talk.unread === 0) talk.firstUnread = number;
    talk.unread++;
    this.arrived(message, talk);
  }

  private onReceipt({ by, group, ...marks }: { by: string; group?: string } & Marks): void {
    this.talks.get(group !== undefined ? inGroup(group) : chatWith(by))?.receipt(by, marks);
    this.changed();
  }

  private onPresence(batch: { users: Presence[]; contacts?: Contact[] }): void {
    this.people.addContacts(batch.contacts ?? []);
    this.people.setPresence(batch.users);
    if (batch.contacts?.some((contact) => contact.state === 'accepted')) void this.refreshPresence().catch(() => {});
    this.changed();
  }

  // Runs once, `ms` after the first of the calls that ask for it.
  private later(name: string, ms: number, run: () => void): void {
    if (this.timers.has(name)) return;
    this.timers.set(name, setTimeout(() => {
      this.timers.delete(name);
      run();
    }, ms));
  }
}
