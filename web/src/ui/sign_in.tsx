import { useState } from 'preact/hooks';

import { isId } from '../chat/wire';
import { Icon } from './parts';

interface SignInProps {
  notice?: string;
  onSignIn: (user: string, password: string) => Promise<void>;
}

export function SignIn({ notice, onSignIn }: SignInProps) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(notice ?? '');

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const user = String(form.get('user')).trim().toLowerCase();
    if (!isId(user)) return setError('A name has small letters, digits, dots, dashes and underscores.');
    setBusy(true);
    setError('');
    try {
      await onSignIn(user, String(form.get('password')));
    } catch (why) {
      setError(sentence(why));
      setBusy(false);
    }
  };

  return (
    <main class="sign-in">
      <form class="card" onSubmit={submit}>
        <img class="logo" src="icon.svg" alt="" width="56" height="56" />
        <h1>Parley</h1>
        <p class="quiet">Sign in to chat</p>
        <label>
          Name
          <input name="user" autocomplete="username" autocapitalize="none" spellcheck={false} required autofocus />
        </label>
        <label>
          Password
          <input name="password" type="password" autocomplete="current-password" required />
        </label>
        <p class="form-error" role="alert">
          {error && <><Icon name="alert" />{error}</>}
        </p>
        <button class="primary" disabled={busy}>{busy ? 'Signing in…' : 'Sign in'}</button>
      </form>
    </main>
  );
}

// "the connection was lost" → "The connection was lost."
export function sentence(why: unknown): string {
  const text = why instanceof Error ? why.message : String(why);
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.');
}
