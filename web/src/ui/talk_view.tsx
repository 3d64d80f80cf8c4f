import { useState } from 'preact/hooks';

import { type Chat } from '../chat/chat';
import { type Talk } from '../chat/talk';
import { isGroup, nameOf } from '../chat/wire';
import { Composer } from './composer';
import { lastSeenText } from './format';
import { Avatar, Icon, IconButton } from './parts';
import { Menu } from './sidebar';
import { type Draft, Timeline, canWrite } from './timeline';

interface TalkViewProps {
  chat: Chat;
  talk: Talk;
  version: number;
  onGroup: () => void;
  onAct: (act: Promise<unknown>) => void;
}

export function TalkView({ chat, talk, version, onGroup, onAct }: TalkViewProps) {
  const [draft, setDraft] = useState<Draft>();
  const name = nameOf(talk.id);
  const group = isGroup(talk.id);
  return (
    <section class="talk-view" aria-label={chat.titleOf(talk.id)}>
      <header class="bar">
        <a class="icon-button back" href="#" aria-label="Back to the conversations"><Icon name="back" /></a>
        <Avatar name={name} group={group} status={group ? undefined : chat.people.status(name)} />
        <div class="bar-title">
          <h1>{chat.titleOf(talk.id)}</h1>
          <p class="quiet">{group ? memberText(chat, name) : statusText(chat, name)}</p>
        </div>
        {group
          ? canWrite(chat, talk) && <IconButton icon="people" label="Group members" onClick={onGroup} />
          : name !== chat.me && <ContactMenu chat={chat} user={name} onAct={onAct} />}
      </header>
      <Timeline chat={chat} talk={talk} version={version} onDraft={setDraft} />
      {canWrite(chat, talk)
        ? <Composer chat={chat} talk={talk} draft={draft} onDraft={setDraft} />
        : <p class="composer left quiet">You are not in this group any more.</p>}
    </section>
  );
}

function memberText(chat: Chat, group: string): string {
  const { role, count } = chat.groups.get(group) ?? {};
  return count === undefined || role === 'none' ? '' : `${count} ${count === 1 ? 'member' : 'members'}`;
}

function statusText(chat: Chat, user: string): string {
  if (user === chat.me) return 'notes to yourself';
  const status = chat.people.status(user);
  if (status === 'offline') return lastSeenText(chat.people.presence.get(user)?.last_seen);
  if (status !== 'unknown') return status;
  return chat.people.contacts.get(user)?.state === 'requested' ? 'asked to be your contact' : '';
}

function ContactMenu({ chat, user, onAct }: { chat: Chat; user: string; onAct: (act: Promise<unknown>) => void }) {
  const contact = chat.people.contacts.get(user);
  const state = contact?.state ?? 'none';
  return (
    <Menu label="Contact">
      {(close) => {
        const item = (text: string, action: Parameters<Chat['contact']>[0]) => (
          <button type="button" onClick={() => (close(), onAct(chat.contact(action, user)))}>{text}</button>
        );
        return (
          <>
            {state === 'none' && item('Add to contacts', 'add')}
            {state === 'asked' && item('Accept as a contact', 'accept')}
            {state === 'requested' && item('Take the request back', 'remove')}
            {state === 'accepted' && item('Remove from contacts', 'remove')}
            {contact?.blocked ? item('Unblock', 'unblock') : item('Block', 'block')}
          </>
        );
      }}
    </Menu>
  );
}
