import { useState } from 'preact/hooks';

import { type Chat } from '../chat/chat';
import { type TalkId, chatWith, inGroup, isId } from '../chat/wire';
import { freshId } from '../chat/outbox';
import { Avatar, Dialog, Icon, IconButton } from './parts';
import { sentence } from './sign_in';

interface NewTalkProps {
  chat: Chat;
  onClose: () => void;
  onOpen: (talk: TalkId) => void;
}

const idsIn = (text: string): string[] => text.toLowerCase().split(/[\s,;]+/).filter(Boolean);

// "Book club!" → "book-club-x7k2"
function groupIdFor(title: string): string {
  const slug = title.toLowerCase().normalize('NFKD').replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '').slice(0, 48);
  const ending = freshId().toLowerCase().replace(/[^a-z0-9]/g, '').slice(0, 5);
  return slug ? `${slug}-${ending}` : `group-${ending}`;
}

export function NewTalk({ chat, onClose, onOpen }: NewTalkProps) {
  const [kind, setKind] = useState<'person' | 'group'>('person');
  return (
    <Dialog title="New conversation" onClose={onClose}>
      <div class="tabs" role="group" aria-label="With whom">
        <button type="button" aria-pressed={kind === 'person'} onClick={() => setKind('person')}>
          <Icon name="person" /> One person
        </button>
        <button type="button" aria-pressed={kind === 'group'} onClick={() => setKind('group')}>
          <Icon name="people" /> A group
        </button>
      </div>
      {kind === 'person' ? <NewPerson chat={chat} onOpen={onOpen} /> : <NewGroup chat={chat} onOpen={onOpen} />}
    </Dialog>
  );
}

function NewPerson({ chat, onOpen }: Omit<NewTalkProps, 'onClose'>) {
  const [error, setError] = useState('');
  const contacts = [...chat.people.contacts.values()].filter((contact) => contact.state === 'accepted');
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const user = String(new FormData(event.currentTarget as HTMLFormElement).get('user')).trim().toLowerCase();
    if (isId(user)) onOpen(chatWith(user));
    else setError('A name has small letters, digits, dots, dashes and underscores.');
  };
  return (
    <form onSubmit={submit}>
      <label>Name <input name="user" autocapitalize="none" autocomplete="off" spellcheck={false} required autofocus /></label>
      <p class="form-error" role="alert">{error}</p>
      <button class="primary">Open</button>
      {contacts.length > 0 && (
        <ul class="members" aria-label="Contacts">
          {contacts.map(({ user }) => (
            <li key={user}>
              <button type="button" class="member" onClick={() => onOpen(chatWith(user))}>
                <Avatar name={user} status={chat.people.status(user)} /> {user}
              </button>
            </li>
          ))}
        </ul>
      )}
    </form>
  );
}

function NewGroup({ chat, onOpen }: Omit<NewTalkProps, 'onClose'>) {
  const [error, setError] = useState('');
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const title = String(form.get('title')).trim();
    const members = idsIn(String(form.get('members')));
    const wrong = members.find((user) => !isId(user));
    if (wrong) return setError(`“${wrong}” can’t be a name.`);
    try {
      onOpen(await chat.createGroup(groupIdFor(title), title, members));
    } catch (why) {
      setError(sentence(why));
    }
  };
  return (
    <form onSubmit={submit}>
      <label>Title <input name="title" maxLength={60} autocomplete="off" required autofocus /></label>
      <label>Members <input name="members" autocapitalize="none" autocomplete="off" spellcheck={false} placeholder="bob, carol" /></label>
      <p class="form-error" role="alert">{error}</p>
      <button class="primary">Create the group</button>
    </form>
  );
}

interface GroupSheetProps {
  chat: Chat;
  group: string;
  onClose: () => void;
}

export function GroupSheet({ chat, group: id, onClose }: GroupSheetProps) {
  const [error, setError] = useState('');
  const group = chat.groups.get(id);
  const members = group?.members ?? [];
  const manages = group?.role === 'owner' || group?.role === 'admin';
  const act = (done: Promise<unknown>) => done.then(() => setError(''), (why) => setError(sentence(why)));
  const add = (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const users = idsIn(String(new FormData(form).get('users')));
    if (users.length === 0) return;
    void act(chat.changeGroup('add', id, { users }).then(() => form.reset()));
  };
  return (
    <Dialog title={chat.titleOf(inGroup(id))} onClose={onClose}>
      <ul class="members" aria-label="Members">
        {members.map(({ user, role }) => (
          <li key={user} class="member">
            <Avatar name={user} status={chat.people.status(user)} />
            <span>{user === chat.me ? `${user} (you)` : user}</span>
            {role !== 'member' && <span class="tag">{role}</span>}
            {manages && user !== chat.me && role !== 'owner' && (
              <IconButton icon="close" label={`Remove ${user}`} onClick={() => void act(chat.changeGroup('remove', id, { user }))} />
            )}
          </li>
        ))}
        {group && group.role !== 'none' && members.length < group.count && (
          <li class="more"><button class="small" onClick={() => void act(chat.moreMembers(id))}>More members</button></li>
        )}
      </ul>
      {manages && (
        <form class="inline" onSubmit={add}>
          <label>Add members <input name="users" autocapitalize="none" autocomplete="off" spellcheck={false} placeholder="dave, eve" /></label>
          <button class="primary">Add</button>
        </form>
      )}
      <p class="form-error" role="alert">{error}</p>
      {group && group.role !== 'none' && <Leave chat={chat} group={id} act={act} />}
    </Dialog>
  );
}

// A last owner says who is the next.
function Leave({ chat, group: id, act }: { chat: Chat; group: string; act: (done: Promise<unknown>) => void }) {
  const group = chat.groups.get(id);
  const others = (group?.members ?? []).filter((member) => member.user !== chat.me);
  const lastOwner = group?.role === 'owner' && !others.some((m) => m.role === 'owner');
  const leave = (event: SubmitEvent) => {
    event.preventDefault();
    const next = new FormData(event.currentTarget as HTMLFormElement).get('next');
    act(chat.changeGroup('leave', id, next ? { user: next } : {}));
  };
  return (
    <form class="inline" onSubmit={leave}>
      {lastOwner && others.length > 0 && (
        <label>
          Next owner
          <select name="next">{others.map(({ user }) => <option key={user}>{user}</option>)}</select>
        </label>
      )}
      <button class="danger"><Icon name="exit" /> Leave the group</button>
    </form>
  );
}
