import { type WireError, Refused } from './wire';

// One MQTT connection. It never comes back: when it has ended, another is made.
export interface Link {
  publish(topic: string, payload: string): void;
  subscribe(topics: string[]): Promise<void>;
  close(): void;
}

export interface Login {
  user: string;
  device: string; // the client id
  secret: () => string; // a password or a token; another one after it was renewed
}

// Why a link ended, or didn't come about: `refused` the login, `taken` over by another of the same id.
export type End = 'refused' | 'taken' | 'lost';

export interface LinkEvents {
  up(link: Link): void;
  message(topic: string, payload: string): void;
  down(end: End): void; // once; nothing comes after it
}

export type OpenLink = (login: Login, events: LinkEvents) => Link;

export type State = 'connecting' | 'up' | 'waiting' | 'taken' | 'refused' | 'closed';

export interface ConnectionEvents {
  changed(): void; // `state`
  up(): void;
  message(topic: string, payload: string): void;
}

export class ConnectionLost extends Error {
  constructor() {
    super('the connection was lost');
  }
}

interface Asked {
  resolve(answer: never): void;
  reject(error: Error): void;
}

const firstPauseMs = 300;
const longestPauseMs = 15_000;
const answerWaitMs = 20_000;
// A right login may be refused for a moment, while the server is busy.
const refusalsInARow = 3;

// Keeps a link up, with growing pauses between the tries, and matches answers to requests.
export class Connection {
  state: State = 'closed';
  private link: Link | undefined;
  private tries = 0;
  private refusals = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private asked = new Map<string, Asked>();
  private rids = 0;
  private generation = 0; // of links: events of older ones mean nothing

  constructor(
    readonly login: Login,
    private readonly open: OpenLink,
    private readonly events: ConnectionEvents,
  ) {}

  get up(): boolean {
    return this.state === 'up';
  }

  start(): void {
    this.end();
    const generation = ++this.generation;
    const current = () => generation === this.generation;
    this.setState('connecting');
    this.link = this.open(this.login, {
      up: () => current() && this.onUp(),
      message: (topic, payload) => current() && this.onMessage(topic, payload),
      down: (why) => current() && this.onDown(why),
    });
  }

  // Tries now instead of at the end of the pause.
  hurry(): void {
    if (this.state !== 'waiting') return;
    this.tries = 0;
    this.start();
  }

  // The server hasn't answered although the link seems to be up.
  renew(): void {
    this.start();
  }

  close(): void {
    this.end();
    this.setState('closed');
  }

  // False where there is no link: nothing was sent.
  publish(topic: string, payload: unknown): boolean {
    if (!this.up || !this.link) return false;
    this.link.publish(topic, typeof payload === 'string' ? payload : JSON.stringify(payload));
    return true;
  }

  async subscribe(topics: string[]): Promise<void> {
    if (!this.link) throw new ConnectionLost();
    await this.link.subscribe(topics);
  }

  // Rejects with Refused or ConnectionLost.
  ask<T>(method: string, members: object = {}): Promise<T> {
    const rid = String(++this.rids);
    return new Promise<T>((resolve, reject) => {
      if (!this.publish(`ask/${method}`, { rid, ...members })) return reject(new ConnectionLost());
      const timer = setTimeout(() => this.settle(rid)?.reject(new ConnectionLost()), answerWaitMs);
      this.asked.set(rid, {
        resolve: (answer) => (clearTimeout(timer), resolve(answer)),
        reject: (error) => (clearTimeout(timer), reject(error)),
      });
    });
  }

  private settle(rid: string): Asked | undefined {
    const asked = this.asked.get(rid);
    this.asked.delete(rid);
    return asked;
  }

  private onUp(): void {
    this.setState('up');
    this.events.up();
  }

  private onMessage(topic: string, payload: string): void {
    this.tries = this.refusals = 0; // the server has let us in: a CONNACK alone doesn't say so
    if (topic !== `answer/${this.login.device}`) return this.events.message(topic, payload);
    const answer = JSON.parse(payload) as { rid?: string; ok: boolean; error: WireError };
    const asked = answer.rid === undefined ? undefined : this.settle(answer.rid);
    if (!asked) return this.events.message(topic, payload);
    if (answer.ok) asked.resolve(answer as never);
    else asked.reject(new Refused(answer.error));
  }

  private onDown(why: End): void {
    this.end();
    if (why === 'refused' && ++this.refusals >= refusalsInARow) return this.setState('refused');
    if (why === 'taken') return this.setState('taken');
    this.setState('waiting');
    this.timer = setTimeout(() => this.start(), this.pauseMs());
  }

  // Between half and all of a time that doubles: not all come at once when a server is back.
  private pauseMs(): number {
    const full = Math.min(longestPauseMs, firstPauseMs * 2 ** this.tries++);
    return full * (0.5 + Math.random() / 2);
  }

  private end(): void {
    this.generation++;
    clearTimeout(this.timer);
    this.link?.close();
    this.link = undefined;
    const lost = [...this.asked.values()];
    this.asked.clear();
    for (const asked of lost) asked.reject(new ConnectionLost());
  }

  private setState(state: State): void {
    if (this.state === state) return;
    this.state = state;
    this.events.changed();
  }
}
