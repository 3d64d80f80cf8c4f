import { useLayoutEffect, useRef, useState } from 'preact/hooks';

import { type Chat } from '../chat/chat';
import { type Talk } from '../chat/talk';
import { bodyText } from './format';
import { Icon, IconButton } from './parts';
import { type Draft } from './timeline';

const bodyBytesMax = 65536;

interface ComposerProps {
  chat: Chat;
  talk: Talk;
  draft: Draft | undefined;
  onDraft: (draft: Draft | undefined) => void;
}

export function Composer({ chat, talk, draft, onDraft }: ComposerProps) {
  const begun = chat.drafts;
  const [text, setText] = useState(begun.get(talk.id) ?? '');
  const field = useRef<HTMLTextAreaElement>(null);
  const tooLong = new TextEncoder().encode(text).length > bodyBytesMax;

  useLayoutEffect(() => {
    if (draft?.kind === 'edit') setText(bodyText(draft.message.body));
    field.current?.focus();
  }, [draft]);
  useLayoutEffect(() => {
    if (draft?.kind !== 'edit') begun.set(talk.id, text);
    const box = field.current!;
    box.style.height = 'auto';
    box.style.height = `${box.scrollHeight}px`;
  }, [text]);

  const cancel = () => {
    if (draft?.kind === 'edit') setText(begun.get(talk.id) ?? '');
    onDraft(undefined);
  };
  const submit = () => {
    const body = text.trim();
    if (body === '' || tooLong) return;
    if (draft?.kind === 'edit') {
      if (body !== draft.message.body) chat.send(talk.id, 'edit', body, draft.message);
    } else chat.send(talk.id, 'message', body, draft?.message);
    setText(draft?.kind === 'edit' ? (begun.get(talk.id) ?? '') : '');
    onDraft(undefined);
  };
  const key = (event: KeyboardEvent) => {
    if (event.isComposing) return;
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      submit();
    } else if (event.key === 'Escape' && draft) {
      event.stopPropagation();
      cancel();
    } else if (event.key === 'ArrowUp' && text === '') {
      const own = talk.messages.filter((m) => m.from === chat.me && !m.retracted && typeof m.body === 'string').at(-1);
      if (!own) return;
      event.preventDefault();
      onDraft({ kind: 'edit', message: own });
    }
  };

  return (
    <form class="composer" onSubmit={(event) => (event.preventDefault(), submit())}>
      {draft && (
        <div class="draft">
          <Icon name={draft.kind} />
          <div>
            <strong>{draft.kind === 'edit' ? 'Edit your message' : `Reply to ${draft.message.from === chat.me ? 'yourself' : draft.message.from}`}</strong>
            <span>{bodyText(draft.message.body)}</span>
          </div>
          <IconButton icon="close" label="Cancel" onClick={cancel} />
        </div>
      )}
      {tooLong && <p class="form-error" role="alert"><Icon name="alert" />This is too long for one message.</p>}
      <div class="write">
        <textarea ref={field} rows={1} value={text} aria-label={`Message to ${chat.titleOf(talk.id)}`} placeholder="Message"
          enterkeyhint="send" onKeyDown={key} onBlur={() => chat.typing(talk.id, false)}
          onInput={(event) => {
            setText(event.currentTarget.value);
            if (draft?.kind !== 'edit') chat.typing(talk.id, event.currentTarget.value !== '');
          }} />
        <button class="send" aria-label="Send" title="Send" disabled={text.trim() === '' || tooLong}><Icon name="send" /></button>
      </div>
    </form>
  );
}
