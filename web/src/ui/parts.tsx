// The small things that pages are made of.
import { type ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

import { hueOf, initials } from './format';

const paths = {
  back: 'M15 5l-7 7 7 7',
  plus: 'M12 5v14M5 12h14',
  send: 'M4 12l16-7-5 16-3.5-6.5z',
  close: 'M6 6l12 12M18 6L6 18',
  reply: 'M9 7l-5 5 5 5M4 12h9a6 6 0 0 1 6 6',
  edit: 'M5 19l1-4L16 5l3 3L9 18zM14 7l3 3',
  bin: 'M5 7h14M10 7V5h4v2M7 7l1 12h8l1-12',
  smile: 'M12 21a9 9 0 1 1 0-18 9 9 0 0 1 0 18M8.5 14.5c1.8 2.4 5.2 2.4 7 0M9 9.5v.5M15 9.5v.5',
  people: 'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7M3 20c0-4 2.5-6 6-6s6 2 6 6M16 4.5a3.5 3.5 0 0 1 0 6M18 14.5c2 .8 3 2.7 3 5.5',
  person: 'M12 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8M4 21c0-4.5 3-7 8-7s8 2.5 8 7',
  addPerson: 'M10 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8M2.5 20c0-4 2.7-6.5 7.5-6.5 1.5 0 2.8.3 3.9.7M18 14v6M15 17h6',
  menu: 'M12 5a.7.7 0 1 0 .01 0M12 11.3a.7.7 0 1 0 .01 0M12 17.6a.7.7 0 1 0 .01 0',
  bell: 'M6 17V11a6 6 0 0 1 12 0v6l1.5 1.5h-15zM10 21h4',
  clock: 'M12 20a8 8 0 1 1 0-16 8 8 0 0 1 0 16M12 8v4.5l3 2',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  checks: 'M2 13l4 4L15.5 7.5M11 15.5l1.5 1.5L22 7.5',
  alert: 'M12 20.5a8.5 8.5 0 1 1 0-17 8.5 8.5 0 0 1 0 17M12 8v5M12 16v.01',
  down: 'M6 9.5l6 6 6-6',
  exit: 'M10 4H5v16h5M14 8l4 4-4 4M18 12H9',
  moon: 'M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5',
} as const;
export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}

interface IconButtonProps {
  icon: IconName;
  label: string;
  onClick: (event: MouseEvent) => void;
  class?: string;
  disabled?: boolean;
  pressed?: boolean;
}

export function IconButton({ icon, label, onClick, disabled, pressed, class: more = '' }: IconButtonProps) {
  return (
    <button type="button" class={`icon-button ${more}`} aria-label={label} title={label} aria-pressed={pressed}
      disabled={disabled} onClick={onClick}>
      <Icon name={icon} />
    </button>
  );
}

export type Status = 'online' | 'away' | 'offline' | 'unknown';

// A circle with initials; the dot tells presence, which the text beside it says too where it matters.
export function Avatar({ name, group, status }: { name: string; group?: boolean; status?: Status }) {
  return (
    <span class={`avatar hue-${hueOf(name)}`} aria-hidden="true">
      {group ? <Icon name="people" /> : initials(name)}
      {status && status !== 'unknown' && <span class={`dot ${status}`} />}
    </span>
  );
}

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
}

// The browser's own dialog: it keeps the focus, and gives it back.
export function Dialog({ title, onClose, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const element = dialog.current!;
    element.showModal();
    return () => element.close();
  }, []);
  return (
    <dialog ref={dialog} aria-label={title} onClose={onClose}
      onClick={(event) => event.target === dialog.current && onClose()}>
      <div class="sheet">
        <header>
          <h2>{title}</h2>
          <IconButton icon="close" label="Close" onClick={onClose} />
        </header>
        {children}
      </div>
    </dialog>
  );
}
