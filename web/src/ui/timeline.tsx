import { memo } from 'preact/compat';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';

import { type Chat } from '../chat/chat';
import { type Outgoing } from '../chat/outbox';
import { type Talk } from '../chat/talk';
import { type Ref, type WireMessage, isGroup, nameOf, sameRef } from '../chat/wire';
import { bodyText, dayText, fullText, isoText, linked, sameDay, systemText, timeText } from './format';
import { Avatar, Icon, IconButton } from './parts';
import { typingText } from './sidebar';

const togetherMs = 5 * 60_000;
const nearTopPx = 600;
const emojis = ['👍', '❤️', '😂', '😮', '😢', '🎉'];

export type Draft = { kind: 'reply' | 'edit'; message: WireMessage };

interface TimelineProps {
  chat: Chat;
  talk: Talk;
  version: number;
  onDraft: (draft: Draft) => void;
}

// The messages of a conversation. The newest stay in sight; nearing the oldest reads those before.
export function Timeline({ chat, talk, onDraft }: TimelineProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const [active, setActive] = useState<string>();
  const [away, setAway] = useState(false); // scrolled up
  const pending = chat.outbox.all.filter((one) => one.talk === talk.id && one.type === 'message');

  // The box lays its content out from the bottom up: 0 is the bottom, and what is above is negative.
  const readOn = () => {
    const box = scroller.current;
    if (!box) return;  // effects run later, and it may be gone by then
    setAway(box.scrollTop < -200);
    const above = box.scrollHeight - box.clientHeight + box.scrollTop;
    if (above < nearTopPx && talk.opened && talk.older === 'unread') void chat.loadOlder(talk);
    if (box.scrollTop > -80 && talk.opened && document.visibilityState === 'visible' && document.hasFocus()) {
      chat.markRead(talk);
    }
  };
  useEffect(readOn);
  useEffect(() => {
    const seen = () => readOn();
    addEventListener('focus', seen);
    document.addEventListener('visibilitychange', seen);
    return () => {
      removeEventListener('focus', seen);
      document.removeEventListener('visibilitychange', seen);
    };
  }, [talk]);
  // What one has written is in sight.
  const newestOwn = pending.at(-1)?.id;
  useEffect(() => {
    if (newestOwn) scroller.current?.scrollTo({ top: 0 });
  }, [newestOwn]);

  const keys = talk.messages.map(keyOf);
  const current = active !== undefined && keys.includes(active) ? active : keys.at(-1);
  const move = (event: KeyboardEvent) => {
    const to = { ArrowUp: -1, ArrowDown: 1, Home: -keys.length, End: keys.length }[event.key];
    if (to === undefined || !(event.target as HTMLElement).classList.contains('row')) return;
    event.preventDefault();
    const at = Math.max(0, Math.min(keys.length - 1, keys.indexOf(current!) + to));
    setActive(keys[at]);
    (scroller.current!.querySelector(`[data-key="${CSS.escape(keys[at]!)}"]`) as HTMLElement | null)?.focus();
  };
  const jump = useCallback((ref: Ref) => {
    const target = talk.find(ref);
    if (!target) return;
    const row = scroller.current!.querySelector<HTMLElement>(`[data-key="${CSS.escape(keyOf(target))}"]`);
    row?.scrollIntoView({ block: 'center', behavior: 'smooth' });
    row?.focus({ preventScroll: true });
  }, [talk]);

  return (
    <div class="timeline" ref={scroller} onScroll={readOn}>
      <div class="column">
        <Top chat={chat} talk={talk} />
        <ol class="messages" aria-label={`Messages with ${chat.titleOf(talk.id)}`} onKeyDown={move}
          onMouseLeave={(event) => event.currentTarget.contains(document.activeElement) || setActive(undefined)}>
          {talk.messages.map((message, i) => {
            const before = talk.messages[i - 1];
            const after = talk.messages[i + 1];
            return [
              (!before || !sameDay(before.ts, message.ts)) && (
                <li class="day" key={`day ${message.ts}`}><span>{dayText(message.ts)}</span></li>
              ),
              <Row key={keyOf(message)} chat={chat} talk={talk} message={message} quoted={quoted(talk, message)}
                mark={message.from === chat.me ? chat.progress(talk, message) : undefined}
                busy={chat.outbox.all.some((one) => one.ref && sameRef(one.ref, message) && one.type !== 'message')}
                first={!together(before, message)} last={!after || !together(message, after)}
                active={keyOf(message) === active} stop={keyOf(message) === current}
                member={canWrite(chat, talk)}
                onActive={setActive} onDraft={onDraft} onJump={jump} />,
            ];
          })}
          {pending.map((one) => <PendingRow key={one.id} chat={chat} one={one} />)}
        </ol>
        <p class="typing" aria-live="polite">{talk.typing.size > 0 && <><i /><i /><i />{typingText(talk)}</>}</p>
      </div>
      {away && (
        <IconButton icon="down" label="To the newest message" class="to-bottom"
          onClick={() => scroller.current!.scrollTo({ top: 0, behavior: 'smooth' })} />
      )}
    </div>
  );
}

export const canWrite = (chat: Chat, talk: Talk): boolean =>
  !isGroup(talk.id) || chat.groups.get(nameOf(talk.id))?.role !== 'none';

const keyOf = (message: WireMessage): string => `${message.from}/${message.id}`;

// Whether two messages stand as one block.
function together(before: WireMessage | undefined, message: WireMessage): boolean {
  return before !== undefined && before.from === message.from && before.type === 'message' &&
    message.type === 'message' && message.ts - before.ts < togetherMs && sameDay(before.ts, message.ts);
}

function quoted(talk: Talk, message: WireMessage): WireMessage | undefined {
  return message.ref && talk.find(message.ref);
}

function Top({ chat, talk }: { chat: Chat; talk: Talk }) {
  if (talk.older === 'failed') {
    return (
      <p class="top">
        Earlier messages couldn’t be read. <button class="small" onClick={() => void chat.loadOlder(talk)}>Try again</button>
      </p>
    );
  }
  if (talk.older === 'reading' || !talk.opened) return <p class="top quiet"><span class="spinner" /> Loading…</p>;
  if (talk.older === 'unread') return <p class="top" />;
  if (!canWrite(chat, talk) && talk.messages.length === 0) return <p class="top quiet">What was said here is for members.</p>;
  if (talk.messages.length > 0) return <p class="top quiet">This is where it began.</p>;
  return (
    <div class="top first-word">
      <Avatar name={nameOf(talk.id)} group={isGroup(talk.id)} />
      <p>Nothing was said here yet.</p>
      <p class="quiet">Say hello to {chat.titleOf(talk.id)}.</p>
    </div>
  );
}

interface RowProps {
  chat: Chat;
  talk: Talk;
  message: WireMessage;
  quoted: WireMessage | undefined;
  mark: 'stored' | 'delivered' | 'read' | undefined;
  busy: boolean;
  first: boolean;
  last: boolean;
  active: boolean;
  stop: boolean;
  member: boolean;
  onActive: (key: string | undefined) => void;
  onDraft: (draft: Draft) => void;
  onJump: (ref: Ref) => void;
}

const Row = memo(function Row(props: RowProps) {
  const { chat, message, first, last, active, stop, onActive } = props;
  if (message.type === 'system') return <li class="system"><span>{systemText(message, chat.me)}</span></li>;
  const mine = message.from === chat.me;
  const inGroup = message.group !== undefined;
  const place = `${mine ? 'mine' : 'theirs'} ${first ? 'first' : ''} ${last ? 'last' : ''}`;
  const activate = () => onActive(keyOf(message));
  return (
    <li class={`row ${place}`} data-key={keyOf(message)} tabIndex={stop ? 0 : -1} onFocusIn={activate}
      onMouseEnter={activate} onClick={activate} aria-label={label(props)}>
      {inGroup && !mine && (last ? <Avatar name={message.from} /> : <span class="avatar-space" />)}
      <div class="bubble-and-more">
        <Bubble {...props} mine={mine} named={inGroup && !mine && first} />
        <Reactions {...props} />
        {active && props.member && <Actions {...props} mine={mine} />}
      </div>
    </li>
  );
});

// What a screen reader says of a message as a whole.
function label({ chat, message, mark }: RowProps): string {
  const who = message.from === chat.me ? 'You' : message.from;
  const what = message.retracted ? 'deleted message' : bodyText(message.body);
  return [who, what, message.edited && 'edited', timeText(message.ts), mark].filter(Boolean).join(', ');
}

function Bubble({ chat, message, quoted: to, mark, busy, mine, named, onJump }: RowProps & { mine: boolean; named: boolean }) {
  return (
    <div class={`bubble ${message.retracted ? 'gone' : ''} ${jumbo(message.body) ? 'jumbo' : ''}`}>
      {named && <span class="author">{message.from}</span>}
      {message.ref && !message.retracted && (
        <button class="quote" tabIndex={-1} onClick={() => onJump(message.ref!)}>
          <strong>{message.ref.from === chat.me ? 'You' : message.ref.from}</strong>
          <span>{to ? (to.retracted ? 'Deleted message' : bodyText(to.body)) : 'An earlier message'}</span>
        </button>
      )}
      <Body message={message} />
      <span class="meta">
        {busy && <Icon name="clock" />}
        {message.edited && !message.retracted && <span>edited</span>}
        <time dateTime={isoText(message.ts)} title={fullText(message.ts)}>{timeText(message.ts)}</time>
        {mine && mark && <Mark mark={mark} />}
      </span>
    </div>
  );
}

// Text and nothing else: whatever it holds, it is put into text nodes.
function Body({ message }: { message: WireMessage }) {
  if (message.retracted) return <span class="text">Deleted message</span>;
  if (typeof message.body !== 'string') return <code class="text">{bodyText(message.body)}</code>;
  return (
    <span class="text" dir="auto">
      {linked(message.body).map(({ text, href }) =>
        href ? <a href={href} target="_blank" rel="noopener noreferrer nofollow">{text}</a> : text)}
    </span>
  );
}

const jumbo = (body: unknown): boolean =>
  typeof body === 'string' && /^\s*(\p{Extended_Pictographic}[\u{1F3FB}-\u{1F3FF}\uFE0F\u200D]*\s*){1,3}$/u.test(body);

const marks = { sending: 'clock', stored: 'check', delivered: 'checks', read: 'checks' } as const;
const markTexts = { sending: 'Being sent', stored: 'Sent', delivered: 'Delivered', read: 'Read' };

function Mark({ mark }: { mark: keyof typeof marks }) {
  return (
    <span class={`mark ${mark}`} title={markTexts[mark]} role="img" aria-label={markTexts[mark]}>
      <Icon name={marks[mark]} />
    </span>
  );
}

function Reactions({ chat, talk, message, member }: RowProps) {
  if (!message.reactions?.length || message.retracted) return null;
  const byBody = new Map<string, string[]>();
  for (const { from, body } of message.reactions) {
    byBody.set(bodyText(body), [...(byBody.get(bodyText(body)) ?? []), from]);
  }
  return (
    <div class="reactions">
      {[...byBody].map(([body, users]) => {
        const mine = users.includes(chat.me);
        return (
          <button key={body} class="reaction" aria-pressed={mine} disabled={!member} title={users.join(', ')}
            aria-label={`${body} by ${users.join(', ')}`}
            onClick={() => chat.send(talk.id, 'reaction', mine ? '' : body, message)}>
            {body} {users.length > 1 && <span>{users.length}</span>}
          </button>
        );
      })}
    </div>
  );
}

function Actions({ chat, talk, message, mine, onDraft }: RowProps & { mine: boolean }) {
  const [choosing, setChoosing] = useState(false);
  if (message.retracted) return null;
  if (choosing) {
    return (
      <div class="actions" role="group" aria-label="Reactions">
        {emojis.map((emoji) => (
          <button type="button" class="emoji" key={emoji} aria-label={`React with ${emoji}`}
            onClick={() => (setChoosing(false), chat.send(talk.id, 'reaction', emoji, message))}>
            {emoji}
          </button>
        ))}
        <IconButton icon="close" label="No reaction" onClick={() => setChoosing(false)} />
      </div>
    );
  }
  const text = typeof message.body === 'string';
  return (
    <div class="actions" role="group" aria-label="Actions">
      <IconButton icon="smile" label="React" onClick={() => setChoosing(true)} />
      <IconButton icon="reply" label="Reply" onClick={() => onDraft({ kind: 'reply', message })} />
      {mine && text && <IconButton icon="edit" label="Edit" onClick={() => onDraft({ kind: 'edit', message })} />}
      {mine && <IconButton icon="bin" label="Delete" onClick={() => chat.send(talk.id, 'retract', undefined, message)} />}
    </div>
  );
}

// A message that the server hasn't stored yet, or refused.
function PendingRow({ chat, one }: { chat: Chat; one: Outgoing }) {
  return (
    <li class="row mine first last pending">
      <div class="bubble-and-more">
        <div class={`bubble ${one.error ? 'refused' : ''}`}>
          <span class="text" dir="auto">{bodyText(one.body)}</span>
          <span class="meta"><time>{timeText(one.ts)}</time>{!one.error && <Mark mark="sending" />}</span>
        </div>
        {one.error && (
          <p class="refusal" role="alert">
            <Icon name="alert" /> Not sent: {one.error.message}
            <button class="small" onClick={() => chat.retry(one.id)}>Try again</button>
            <button class="small" onClick={() => chat.drop(one.id)}>Discard</button>
          </p>
        )}
      </div>
    </li>
  );
}

