import { type WireMessage } from '../chat/wire';

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: 'long' });
const dayOfYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long' });
const fullDay = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const shortDay = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const dayMs = 24 * 3600 * 1000;

export const timeText = (ts: number): string => clock.format(ts);
export const fullText = (ts: number): string => `${fullDay.format(ts)}, ${clock.format(ts)}`;
export const isoText = (ts: number): string => new Date(ts).toISOString();

const startOfDay = (ts: number): number => new Date(ts).setHours(0, 0, 0, 0);
export const sameDay = (a: number, b: number): boolean => startOfDay(a) === startOfDay(b);

// How many midnights ago.
const daysAgo = (ts: number, now: number): number => Math.round((startOfDay(now) - startOfDay(ts)) / dayMs);

export function dayText(ts: number, now = Date.now()): string {
  const days = daysAgo(ts, now);
  if (days <= 0) return 'Today';
  if (days === 1) return 'Yesterday';
  if (days < 7) return weekday.format(ts);
  return new Date(ts).getFullYear() === new Date(now).getFullYear() ? dayOfYear.format(ts) : fullDay.format(ts);
}

// For the list: as short as it can be said.
export function whenText(ts: number, now = Date.now()): string {
  const days = daysAgo(ts, now);
  if (days <= 0) return timeText(ts);
  if (days === 1) return 'Yesterday';
  return days < 7 ? weekday.format(ts).slice(0, 3) : shortDay.format(ts);
}

export function lastSeenText(ts: number | undefined, now = Date.now()): string {
  if (!ts) return 'offline';
  const days = daysAgo(ts, now);
  const day = days <= 0 ? 'today' : days === 1 ? 'yesterday' : shortDay.format(ts);
  return `last seen ${day} at ${timeText(ts)}`;
}

// Text as it was written; what another application's object is, as JSON.
export function bodyText(body: unknown): string {
  return typeof body === 'string' ? body : JSON.stringify(body, null, 1);
}

// One line that says what a message is.
export function summary(message: WireMessage, me: string): string {
  const who = message.from === me ? 'You' : message.from;
  const mine = message.from === me ? 'You: ' : message.group !== undefined ? `${message.from}: ` : '';
  if (message.retracted) return `${who} deleted a message`;
  switch (message.type) {
    case 'system':
      return systemText(message, me);
    case 'reaction':
      return message.body === '' ? `${who} took a reaction back` : `${who} reacted with ${bodyText(message.body)}`;
    case 'retract':
      return `${who} deleted a message`;
    default:
      return mine + bodyText(message.body);
  }
}

interface SystemBody {
  event: string;
  title?: string;
  users?: string[];
  user?: string;
  role?: string;
  delivery?: string;
}

// What happened in a group.
export function systemText(message: WireMessage, me: string): string {
  const body = message.body as SystemBody;
  const name = (user: string) => (user === me ? 'you' : user);
  const who = message.from === me ? 'You' : message.from;
  const others = (body.users ?? (body.user ? [body.user] : [])).filter((user) => user !== message.from);
  const list = others.map(name).join(', ') || 'somebody';
  switch (body.event) {
    case 'created':
      return `${who} created the group`;
    case 'added':
      return `${who} added ${list}`;
    case 'removed':
      return `${who} removed ${list}`;
    case 'joined':
      return `${who} joined`;
    case 'left':
      return `${who} left`;
    case 'role':
      return `${who} made ${list} ${body.role ?? 'member'}`;
    case 'deleted':
      return `${who} deleted the group`;
    default:
      return body.title ? `${who} named the group “${body.title}”` : `${who} changed the group`;
  }
}

// The parts of a text that are links, and those between them.
export function linked(text: string): { text: string; href?: string }[] {
  const parts: { text: string; href?: string }[] = [];
  let from = 0;
  for (const match of text.matchAll(/\bhttps?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]}]/g)) {
    if (match.index > from) parts.push({ text: text.slice(from, match.index) });
    parts.push({ text: match[0], href: match[0] });
    from = match.index + match[0].length;
  }
  if (from < text.length) parts.push({ text: text.slice(from) });
  return parts;
}

export function initials(name: string): string {
  const words = name.split(/[\s._-]+/).filter(Boolean);
  const [first = '?', second] = words;
  const letters = second ? [...first][0]! + [...second][0]! : [...first].slice(0, words.length > 1 ? 1 : 2).join('');
  return letters.toUpperCase();
}

// One of so many colours, always the same for a name.
export function hueOf(name: string, hues = 8): number {
  let hash = 7;
  for (const letter of name) hash = (hash * 31 + letter.codePointAt(0)!) >>> 0;
  return hash % hues;
}
