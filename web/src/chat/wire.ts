// What goes over the wire, as docs/topics.md has it.

export type MessageType = 'message' | 'edit' | 'retract' | 'reaction' | 'system';

// Names a message: ids are their sender's own.
export interface Ref {
  from: string;
  id: string;
}

export interface Reaction {
  from: string;
  body: unknown;
}

// `seq` is missing in what isn't in my log, `gseq` in what is between two.
export interface WireMessage {
  seq?: number;
  type: MessageType;
  id: string;
  from: string;
  to?: string;
  group?: string;
  gseq?: number;
  ts: number;
  body?: unknown;
  ref?: Ref;
  edited?: number;
  retracted?: number;
  reactions?: Reaction[];
}

export interface WireError {
  code: string;
  message: string;
  retry_after_ms?: number;
}

export interface Listed {
  with?: string;
  group?: string;
  last: WireMessage;
  unread: number;
}

export interface Group {
  group: string;
  title?: string;
  delivery: 'inbox' | 'topic';
  head: number;
  count: number;
  role: 'owner' | 'admin' | 'member' | 'none';
  read?: number;
  unread?: number;
  members?: { user: string; role: string; name?: string }[];
}

export interface Contact {
  user: string;
  state: 'none' | 'requested' | 'asked' | 'accepted';
  blocked?: true;
}

export interface Presence {
  user: string;
  online: boolean;
  away?: true;
  last_seen?: number;
}

export interface Marks {
  delivered?: number;
  read?: number;
}

// A conversation's id is the topic that one publishes to: chat/bob, group/readers.
export type TalkId = `chat/${string}` | `group/${string}`;

export const chatWith = (user: string): TalkId => `chat/${user}`;
export const inGroup = (group: string): TalkId => `group/${group}`;
export const nameOf = (talk: TalkId): string => talk.slice(talk.indexOf('/') + 1);
export const isGroup = (talk: TalkId): boolean => talk.startsWith('group/');

// The conversation that a message of `me`'s log belongs to.
export function talkOf(message: WireMessage, me: string): TalkId {
  if (message.group !== undefined) return inGroup(message.group);
  return chatWith(message.from === me ? (message.to ?? me) : message.from);
}

// Where a message stands in its conversation.
export const placeOf = (message: WireMessage): number => message.gseq ?? message.seq ?? 0;

export const sameRef = (a: Ref, b: Ref): boolean => a.id === b.id && a.from === b.from;

export const isId = (text: string): boolean => /^[a-z0-9][a-z0-9._-]{0,63}$/.test(text);

// A request, or a message, that was refused.
export class Refused extends Error {
  readonly code: string;
  readonly retryAfterMs: number | undefined;
  constructor(error: WireError) {
    super(error.message);
    this.code = error.code;
    this.retryAfterMs = error.retry_after_ms;
  }
  // Whether the same may succeed a little later.
  get passing(): boolean {
    return ['busy', 'unavailable', 'quota'].includes(this.code);
  }
}
