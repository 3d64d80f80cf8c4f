import { useState } from 'preact/hooks';

import { type Chat } from '../chat/chat';
import { type Talk } from '../chat/talk';
import { type TalkId, isGroup, nameOf } from '../chat/wire';
import { bodyText, summary, whenText } from './format';
import { Avatar, Icon, IconButton } from './parts';

const nearEndPx = 400;

interface SidebarProps {
  chat: Chat;
  version: number;
  onNew: () => void;
  onAct: (act: Promise<unknown>) => void;
  menu: preact.ComponentChildren;
}

export function Sidebar({ chat, onNew, onAct, menu }: SidebarProps) {
  const asking = [...chat.people.contacts.values()].filter((contact) => contact.state === 'asked');
  return (
    <nav class="sidebar" aria-label="Conversations">
      <header class="bar">
        <Avatar name={chat.me} />
        <h1 class="bar-title">{chat.me}</h1>
        <IconButton icon="plus" label="New conversation" onClick={onNew} />
        {menu}
      </header>
      {asking.map(({ user }) => (
        <div class="request" key={user}>
          <span><strong>{user}</strong> would like to be your contact</span>
          <button class="small primary" onClick={() => onAct(chat.contact('accept', user))}>Accept</button>
          <button class="small" onClick={() => onAct(chat.contact('remove', user))}>Decline</button>
        </div>
      ))}
      <TalkList chat={chat} onNew={onNew} />
    </nav>
  );
}

function TalkList({ chat, onNew }: { chat: Chat; onNew: () => void }) {
  const list = chat.list;
  if (list.length === 0 && !chat.loaded) return <p class="empty quiet">Loading…</p>;
  if (list.length === 0) {
    return (
      <div class="empty">
        <p>No conversations yet.</p>
        <button class="primary" onClick={onNew}>Start one</button>
      </div>
    );
  }
  return (
    <ul class="talks" onScroll={(event) => isNearEnd(event.currentTarget) && void chat.loadOlderTalks()}>
      {list.map((talk) => <TalkRow key={talk.id} chat={chat} talk={talk} />)}
      {chat.olderTalks && (
        <li class="more"><button class="small" onClick={() => void chat.loadOlderTalks()}>Earlier conversations</button></li>
      )}
    </ul>
  );
}

const isNearEnd = (box: HTMLElement): boolean => box.scrollHeight - box.scrollTop - box.clientHeight < nearEndPx;

function TalkRow({ chat, talk }: { chat: Chat; talk: Talk }) {
  const name = nameOf(talk.id);
  const group = isGroup(talk.id);
  const status = group ? undefined : chat.people.status(name);
  return (
    <li>
      <a class="talk" href={hrefOf(talk.id)} aria-current={chat.openTalk === talk.id ? 'page' : undefined}>
        <Avatar name={name} group={group} status={status} />
        <span class="talk-name">
          {chat.titleOf(talk.id)}
          {(status === 'online' || status === 'away') && <span class="hidden">, {status}</span>}
        </span>
        <time class="talk-when">{whenText(chat.timeOf(talk))}</time>
        <span class="talk-last">
          {talk.typing.size > 0 ? <em>{typingText(talk)}</em> : <LastWord chat={chat} talk={talk} />}
        </span>
        {talk.unread > 0 && (
          <span class="badge">
            {talk.unread > 999 ? '999+' : talk.unread}<span class="hidden"> unread</span>
          </span>
        )}
      </a>
    </li>
  );
}

// What was said last, be it still unsent.
function LastWord({ chat, talk }: { chat: Chat; talk: Talk }) {
  const unsent = chat.unsentIn(talk);
  const written = unsent.filter((one) => one.type === 'message').at(-1);
  return (
    <>
      {unsent.length > 0 && <Icon name={unsent.some((one) => one.error) ? 'alert' : 'clock'} />}
      {written ? `You: ${bodyText(written.body)}` : talk.last && summary(talk.last, chat.me)}
    </>
  );
}

export function typingText(talk: Talk): string {
  const users = [...talk.typing.keys()];
  if (!isGroup(talk.id)) return 'typing…';
  return users.length > 2 ? 'several people are typing…' : `${users.join(' and ')} ${users.length > 1 ? 'are' : 'is'} typing…`;
}

export const hrefOf = (talk: TalkId): string => `#${talk}`;

// The conversation that an address names.
export function talkOfHash(hash: string): TalkId | undefined {
  return /^#(chat|group)\/[a-z0-9][a-z0-9._-]{0,63}$/.test(hash) ? (hash.slice(1) as TalkId) : undefined;
}

interface MenuProps {
  children: (close: () => void) => preact.ComponentChildren;
  label: string;
}

// A button that shows more buttons. Escape, and leaving it, closes it.
export function Menu({ children, label }: MenuProps) {
  const [open, setOpen] = useState(false);
  const close = () => setOpen(false);
  return (
    <div class="menu"
      onKeyDown={(event) => {
        if (event.key !== 'Escape' || !open) return;
        event.stopPropagation();
        close();
        (event.currentTarget as HTMLElement).querySelector('button')?.focus();
      }}
      onFocusOut={(event) => {
        if (!(event.currentTarget as HTMLElement).contains(event.relatedTarget as Node | null)) close();
      }}>
      <button type="button" class="icon-button" aria-label={label} title={label} aria-expanded={open}
        onClick={() => setOpen(!open)}>
        <Icon name="menu" />
      </button>
      {open && <div class="menu-list">{children(close)}</div>}
    </div>
  );
}
