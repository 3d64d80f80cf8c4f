// A server for one user's device, as far as the page sees it: a log, conversations, answers.
import { type LinkEvents, type OpenLink } from '../../src/chat/connection';
import { type WireMessage, talkOf } from '../../src/chat/wire';

export class FakeServer {
  log: WireMessage[] = []; // index 0 has seq 1
  epoch = 'first';
  published: { topic: string; payload: any }[] = [];
  asked: string[] = [];
  links = 0;
  refuse: Record<string, { code: string; message: string }> = {}; // by method
  stores = true; // what is sent is stored at once
  answers = true; // …and its sender is told
  contacts: unknown[] = [];
  groups: unknown[] = [];
  history = () => this.log; // what history reads
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
      subscribe: async () => {},
      close: () => {
        if (this.events === events) this.events = undefined;
      },
    };
    return link;
  };

  // The connection is lost.
  cut(why: 'lost' | 'taken' | 'refused' = 'lost'): void {
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
    const error = this.refuse[method];
    const answer = error ? { rid, ok: false, error } : { rid, ok: true, ...this.answerTo(method, members) };
    this.send(`answer/${this.device}`, answer);
  }

  private answerTo(method: string, members: any): object {
    switch (method) {
      case 'sync': {
        const messages = this.log.slice(members.after, members.after + members.limit);
        return { messages, more: members.after + members.limit < this.log.length, head: this.log.length, epoch: this.epoch };
      }
      case 'recent':
        return { conversations: this.conversations(15), head: this.log.length, epoch: this.epoch };
      case 'conversations':
        return { conversations: this.conversations(1).map(({ messages, ...one }) => ({ ...one, last: messages[0] })) };
      case 'history': {
        const all = this.history().filter((message) => message.seq! < (members.before ?? Infinity) && talkOf(message, this.me) === `chat/${members.with}`);
        return { messages: all.slice(-members.limit).reverse(), more: all.length > members.limit, delivered: 0, read: 0 };
      }
      case 'account.token':
        return { token: `token for ${members.device}`, expires: Date.now() + members.ttl * 1000 };
      default:
        return { contacts: this.contacts, groups: this.groups, users: [] };
    }
  }

  private conversations(limit: number) {
    const peers = [...new Set(this.log.map((message) => talkOf(message, this.me).slice(5)))];
    return peers.map((peer) => {
      const all = this.log.filter((message) => talkOf(message, this.me) === `chat/${peer}`);
      return { with: peer, unread: all.filter((message) => message.from !== this.me).length, messages: all.slice(-limit).reverse() };
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
