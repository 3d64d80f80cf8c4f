// A server for one user's device, as far as the page sees it: a log, conversations, answers.
import { type LinkEvents, type OpenLink } from '../../src/chat/connection';
import { type WireMessage, talkOf } from '../../src/chat/wire';

interface FakeGroup {
  group: string;
  delivery: 'inbox' | 'topic';
  members: { user: string; role: string }[];
  read?: number;
  title?: string;
}

export class FakeServer {
  log: WireMessage[] = []; // index 0 has seq 1
  epoch = 'first';
  published: { topic: string; payload: any }[] = [];
  asked: string[] = [];
  links = 0;
  refuse: Record<string, { code: string; message: string }> = {}; // by method
  stores = true; // what is sent is stored at once
  answers = true; // …and its sender is told
  contacts: { user: string; state: string }[] = [];
  groups: FakeGroup[] = [];
  topics = new Map<string, WireMessage[]>(); // by group: its log, where it isn't in mine
  pageMax = 1000; // of any list
  subscribed: string[] = [];
  history = () => this.log; // what history reads
  groupReceipts: object[] = [];
  mayFollow = (group: string): boolean => this.groupOf(group)?.delivery === 'topic';
  readTo = 0; // what is unread is after it
  private events: LinkEvents | undefined;
  private device = '';

  constructor(readonly me: string) {}

  readonly open: OpenLink = (login, events) => {
    this.links++;
    this.device = login.device;
    this.events = events;
    queueMicrotask(() => events.up(link));
    const link = {
      publish: (topic: string, payload: string) => this.take(topic, JSON.parse(payload)),
      subscribe: async (topics: string[]) => this.subscribe(topics),
      close: () => {
        if (this.events === events) this.events = undefined;
      },
    };
    return link;
  };

  // The connection is lost.
  cut(why: 'lost' | 'taken' | 'refused' = 'lost'): void {
    this.subscribed = [];
    this.events?.down(why);
  }
  send(topic: string, payload: unknown): void {
    this.events?.message(topic, JSON.stringify(payload));
  }
  // Appends a message to the log; `live`: and delivers it.
  store(message: Partial<WireMessage>, live = true): WireMessage {
    const whole = { seq: this.log.length + 1, type: 'message', id: `m${this.log.length + 1}`, ts: 1000 + this.log.length, from: 'bob', to: this.me, ...message } as WireMessage;
    this.log.push(whole);
    if (live) this.send(`chat/${this.me}`, whole);
    return whole;
  }
  deliver(seq: number): void {
    this.send(`chat/${this.me}`, this.log[seq - 1]);
  }
  // A group in which I am, whose messages aren't in my log.
  addTopic(group: string, read = 0): void {
    const members = [this.me, 'bob'].map((user) => ({ user, role: 'member' }));
    this.groups.push({ group, delivery: 'topic', members, read });
    if (!this.topics.has(group)) this.topics.set(group, []);
  }
  storeIn(group: string, message: Partial<WireMessage>, live = true): WireMessage {
    const log = this.topics.get(group)!;
    const gseq = log.length + 1;
    const whole = { type: 'message', id: `${group}${gseq}`, from: 'bob', group, gseq, ts: 2000 + gseq, ...message } as WireMessage;
    log.push(whole);
    if (live && this.subscribed.includes(`group/${group}`)) this.send(`group/${group}`, whole);
    return whole;
  }
  // I am not in it any more.
  removeFrom(group: string): void {
    this.groups = this.groups.filter((one) => one.group !== group);
    this.subscribed = this.subscribed.filter((topic) => topic !== `group/${group}`);
  }
  private subscribe(topics: string[]): void {
    for (const topic of topics) {
      if (topic.startsWith('group/') && !this.mayFollow(topic.slice(6))) throw new Error('Subscribe error: 0x87');
      this.subscribed.push(topic);
    }
  }
  private groupOf(group: string): FakeGroup | undefined {
    return this.groups.find((one) => one.group === group);
  }
  receipts(): object[] {
    return this.published.filter(({ topic }) => topic === `receipt/${this.me}`).map(({ payload }) => payload);
  }
  sent(): any[] {
    return this.published.filter(({ topic }) => /^(chat|group)\//.test(topic)).map(({ payload }) => payload);
  }

  private take(topic: string, payload: any): void {
    this.published.push({ topic, payload });
    if (topic.startsWith('ask/')) return void queueMicrotask(() => this.answer(topic.slice(4), payload));
    if (topic.startsWith('chat/') && this.stores) this.takeMessage(topic, payload);
  }

  private takeMessage(topic: string, payload: any): void {
    const known = this.log.find((message) => message.id === payload.id && message.from === this.me);
    const stored = known ?? this.store({ ...payload, from: this.me, to: topic.slice(5) }, false);
    if (this.answers) queueMicrotask(() => this.send(`chat/${this.me}`, stored));
  }

  private answer(method: string, { rid, ...members }: any): void {
    this.asked.push(method);
    const outside = members.group !== undefined && !this.groupOf(members.group);
    const error = this.refuse[method] ?? (outside ? { code: 'denied', message: 'no such group' } : undefined);
    const answer = error ? { rid, ok: false, error } : { rid, ok: true, ...this.answerTo(method, members) };
    this.send(`answer/${this.device}`, answer);
  }

  private answerTo(method: string, members: any): object {
    switch (method) {
      case 'sync': {
        if (members.group) {
          const log = this.topics.get(members.group)!;
          return { messages: log.slice(members.after), more: false, head: log.length, epoch: this.epoch };
        }
        const messages = this.log.slice(members.after, members.after + members.limit);
        return { messages, more: members.after + members.limit < this.log.length, head: this.log.length, epoch: this.epoch };
      }
      case 'recent':
        return { conversations: this.conversations(15), head: this.log.length, epoch: this.epoch };
      case 'conversations':
        return this.listed(members);
      case 'groups.list':
        return this.page('groups', this.groups.map((one) => this.groupAnswer(one)), members, ({ group }) => group);
      case 'contacts.list':
        return this.page('contacts', this.contacts, members, ({ user }) => user);
      case 'groups.get': {
        const { read, unread, ...group } = this.groupAnswer(this.groupOf(members.group)!);
        return { ...group, ...this.page('members', this.groupOf(members.group)!.members, members, ({ user }) => user) };
      }
      case 'history': {
        if (members.group) {
          const log = (this.topics.get(members.group) ?? []).filter(({ gseq }) => gseq! < (members.before ?? Infinity));
          return { messages: log.slice(-members.limit).reverse(), more: log.length > members.limit, receipts: this.groupReceipts };
        }
        const all = this.history().filter((message) => message.seq! < (members.before ?? Infinity) && talkOf(message, this.me) === `chat/${members.with}`);
        return { messages: all.slice(-members.limit).reverse(), more: all.length > members.limit, delivered: 0, read: 0 };
      }
      case 'account.token':
        return { token: `token for ${members.device}`, expires: Date.now() + members.ttl * 1000 };
      default:
        return { users: [] };
    }
  }

  private page<T>(name: string, all: T[], { after = '', limit }: any, idOf: (one: T) => string): object {
    const found = all.filter((one) => idOf(one) > after);
    const size = Math.min(limit, this.pageMax);
    return { [name]: found.slice(0, size), more: found.length > size };
  }
  private groupAnswer({ group, delivery, members, title, read = 0 }: FakeGroup) {
    const head = this.topics.get(group)?.length ?? 0;
    const news = (this.topics.get(group) ?? []).filter(({ from, gseq }) => from !== this.me && gseq! > read);
    return { group, delivery, title, head, count: members.length, role: 'member', read, unread: news.length };
  }
  private listed({ before = Infinity, limit }: any): object {
    const all = this.conversations(1)
      .map(({ messages, ...one }) => ({ ...one, last: messages[0]! }))
      .filter(({ last }) => last.seq! < before)
      .sort((a, b) => b.last.seq! - a.last.seq!);
    const size = Math.min(limit, this.pageMax);
    return { conversations: all.slice(0, size), more: all.length > size };
  }

  private conversations(limit: number) {
    const peers = [...new Set(this.log.map((message) => talkOf(message, this.me)))];
    return peers.map((talk) => {
      const all = this.log.filter((message) => talkOf(message, this.me) === talk);
      const named = talk.startsWith('chat/') ? { with: talk.slice(5) } : { group: talk.slice(6) };
      return { ...named, unread: all.filter((message) => message.from !== this.me && message.seq! > this.readTo).length, messages: all.slice(-limit).reverse() };
    });
  }
}

export async function until(what: () => unknown, timeoutMs = 3000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!what()) {
    if (Date.now() > end) throw new Error(`not by the deadline: ${what}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}
