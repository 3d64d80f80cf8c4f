import './style.css';

import { render } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

import {
  type Account, deviceOf, forgetAccount, forgetTraces, renewTokens, revokeTokens, savedAccount, signIn, tokenOf,
} from '../chat/account';
import { Chat } from '../chat/chat';
import { overWebSocket } from '../chat/mqtt_link';
import { type Outgoing, devicesUnsent, unsentOf } from '../chat/outbox';
import { BrowserStorage } from '../chat/storage';
import { type Talk } from '../chat/talk';
import { type TalkId, type WireError, type WireMessage, isGroup, nameOf } from '../chat/wire';
import { type Config, readConfig } from './config';
import { GroupSheet, NewTalk } from './dialogs';
import { bodyText } from './format';
import { Icon } from './parts';
import { pushIsOn, pushIsPossible, turnPushOff, turnPushOn } from './push';
import { Menu, Sidebar, hrefOf, talkOfHash } from './sidebar';
import { SignIn, sentence } from './sign_in';
import { adoptUnsent, takeTab } from './tab';
import { TalkView } from './talk_view';

const storage = new BrowserStorage();
// How long signing out waits for the server.
const farewellMs = 2_000;
// How often a page that stays open looks whether its token should be renewed.
const renewEveryMs = 3600_000;

// Renders at most once a frame; a page that isn't seen has no frames.
function onceAFrame(run: () => void): () => void {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    const go = () => ((due = false), run());
    if (document.visibilityState === 'visible') requestAnimationFrame(go);
    else setTimeout(go, 50);
  };
}

function App({ config }: { config: Config }) {
  const [account, setAccount] = useState<Account | undefined>(savedAccount(storage));
  const [notice, setNotice] = useState<string>();

  useEffect(() => {
    const elsewhere = (event: StorageEvent) => {
      if (event.key === 'parley.account' || event.key === null) setAccount(savedAccount(storage));
    };
    addEventListener('storage', elsewhere);
    return () => removeEventListener('storage', elsewhere);
  }, []);

  if (!config.mqtt_ws) return <Failed why="The server names no broker to connect to." />;
  const url = config.mqtt_ws;
  if (!account) {
    return (
      <SignIn key={notice} notice={notice}
        onSignIn={async (user, password) => setAccount(await signIn(storage, overWebSocket(url), user, password))} />
    );
  }
  // What wasn't sent stays for whoever it is that signs in again, if the server has ended it.
  const signOut = (why?: string) => {
    forgetAccount(storage);
    setNotice(why);
    setAccount(undefined);
    if (why) return;
    forgetTraces(storage);
    // Nothing of what was read and begun remains in the page or its address.
    history.replaceState(null, '', location.pathname);
    location.reload();
  };
  return <SignedIn key={account.user + account.browser} account={account} config={config} url={url} onSignOut={signOut} />;
}

interface SignedInProps {
  account: Account;
  config: Config;
  url: string;
  onSignOut: (why?: string) => void;
}

function SignedIn({ account, config, url, onSignOut }: SignedInProps) {
  const [chat, setChat] = useState<Chat>();
  const [version, setVersion] = useState(0);
  const [news, setNews] = useState('');
  const [error, setError] = useState('');
  const tabNumber = useRef(1);

  useEffect(() => {
    let running: Chat | undefined;
    let gone = false;
    const changed = onceAFrame(() => setVersion((v) => v + 1));
    void takeTab(account.user).then((tab) => {
      tabNumber.current = tab;
      const secret = () => tokenOf(savedAccount(storage) ?? account, tab) ?? '';
      if (gone) return;
      if (!secret()) return onSignOut('Please sign in again.');
      const login = { user: account.user, device: deviceOf(account.user, account.browser, tab), secret };
      running = new Chat(login, overWebSocket(url), storage, changed,
        (message, talk) => setNews(newsText(message, talk)), (what, why) => setError(refusalText(what, why)));
      running.start();
      setChat(running);
    });
    return () => {
      gone = true;
      running?.stop();
    };
  }, []);

  useEffect(() => {
    if (!chat) return;
    const hurry = () => chat.connection.hurry();
    const seen = () => document.visibilityState === 'visible' && hurry();
    const stored = (event: StorageEvent) => event.key === `parley.read.${chat.me}` && chat.readElsewhere();
    addEventListener('online', hurry);
    addEventListener('storage', stored);
    document.addEventListener('visibilitychange', seen);
    return () => {
      removeEventListener('online', hurry);
      removeEventListener('storage', stored);
      document.removeEventListener('visibilitychange', seen);
    };
  }, [chat]);

  const current = chat?.current;
  useEffect(() => {
    if (!chat || !current) return;
    const signedIn = () => savedAccount(storage) ?? account;
    const renew = () =>
      void renewTokens(storage, signedIn(), tabNumber.current, chat.connection.ask.bind(chat.connection)).catch(() => {});
    renew();
    void adoptUnsent(storage, signedIn(), tabNumber.current, (unsent) => chat.adopt(unsent));
    const timer = setInterval(renew, renewEveryMs);
    return () => clearInterval(timer);
  }, [chat, current]);

  const refused = chat?.connection.state === 'refused';
  useEffect(() => {
    if (refused) onSignOut('You were signed out. Please sign in again.');
  }, [refused]);

  if (!chat) return null;
  const signOut = async () => {
    const { connection } = chat;
    if (!mayForgetUnsent(chat.me)) return;
    const farewell = turnPushOff(chat)
      .catch(() => {})
      .then(() => revokeTokens(savedAccount(storage) ?? account, tabNumber.current, connection.ask.bind(connection)));
    await Promise.race([farewell, new Promise((done) => setTimeout(done, farewellMs))]);
    onSignOut();
  };
  return (
    <>
      <ChatPage chat={chat} config={config} version={version} error={error} onError={setError}
        onSignOut={() => void signOut()} />
      <div class="hidden" aria-live="polite">{news}</div>
    </>
  );
}

function mayForgetUnsent(user: string): boolean {
  const unsent = devicesUnsent(storage, user).flatMap((device) => unsentOf(storage, device)).length;
  if (unsent === 0) return true;
  return confirm(`${unsent === 1 ? 'One message was' : `${unsent} messages were`} not sent yet. Sign out and lose ${unsent === 1 ? 'it' : 'them'}?`);
}

const whatWasRefused = { message: 'message', system: 'message', edit: 'edit', retract: 'deletion', reaction: 'reaction' };
const refusalText = (what: Outgoing, why: WireError): string =>
  sentence(`your ${whatWasRefused[what.type]} was refused: ${why.message}`);

const newsText = (message: WireMessage, talk: Talk): string =>
  message.type === 'message' ? `${message.from}${isGroup(talk.id) ? ` in ${nameOf(talk.id)}` : ''}: ${bodyText(message.body)}` : '';

interface ChatPageProps {
  chat: Chat;
  config: Config;
  version: number;
  error: string;
  onError: (error: string) => void;
  onSignOut: () => void;
}

type Sheet = 'new' | 'group' | undefined;

function ChatPage({ chat, config, version, error, onError, onSignOut }: ChatPageProps) {
  const [open, setOpen] = useState<TalkId | undefined>(talkOfHash(location.hash));
  const [sheet, setSheet] = useState<Sheet>();
  const act = (done: Promise<unknown>) => void done.then(() => onError(''), (why) => onError(sentence(why)));

  useEffect(() => {
    const follow = () => setOpen(talkOfHash(location.hash));
    const told = (event: MessageEvent) => {
      if (event.data?.open) location.hash = `#${event.data.open}`;
    };
    addEventListener('hashchange', follow);
    navigator.serviceWorker?.addEventListener('message', told);
    return () => {
      removeEventListener('hashchange', follow);
      navigator.serviceWorker?.removeEventListener('message', told);
    };
  }, []);
  useEffect(() => {
    void chat.open(open);
    setSheet(undefined);
  }, [open, chat]);
  useEffect(() => {
    document.title = `${chat.unread > 0 ? `(${chat.unread}) ` : ''}${open ? `${chat.titleOf(open)} – ` : ''}Parley`;
  });

  const talk = open && chat.talks.get(open);
  const go = (to: TalkId) => {
    location.hash = hrefOf(to);
    setSheet(undefined);
  };
  const menu = <MainMenu chat={chat} config={config} onAct={act} onSignOut={onSignOut} />;
  return (
    <div class={`app ${open ? 'in-talk' : ''}`}>
      <Banner chat={chat} error={error} onClose={() => onError('')} />
      <main class="panes">
        <Sidebar chat={chat} version={version} onNew={() => setSheet('new')} onAct={act} menu={menu} />
        {talk
          ? <TalkView key={talk.id} chat={chat} talk={talk} version={version} onGroup={() => setSheet('group')} onAct={act} />
          : <section class="nothing-open"><img src="icon.svg" alt="" width="72" height="72" /><p class="quiet">Choose a conversation, or start one.</p></section>}
      </main>
      {sheet === 'new' && <NewTalk chat={chat} onClose={() => setSheet(undefined)} onOpen={go} />}
      {sheet === 'group' && open && <GroupSheet chat={chat} group={nameOf(open)} onClose={() => setSheet(undefined)} />}
    </div>
  );
}

function Banner({ chat, error, onClose }: { chat: Chat; error: string; onClose: () => void }) {
  const state = chat.connection.state;
  const [late, setLate] = useState(false); // a moment's loss isn't worth a word
  useEffect(() => {
    if (chat.current) return setLate(false);
    const timer = setTimeout(() => setLate(true), 700);
    return () => clearTimeout(timer);
  }, [chat.current]);
  return (
    <>
      <div role="status" class="banners">
        {state === 'taken' && (
          <p class="banner">
            Parley is in use in another tab. <button class="small" onClick={() => chat.start()}>Use it here</button>
          </p>
        )}
        {late && !chat.current && state !== 'taken' && (
          <p class="banner"><span class="spinner" /> {chat.loaded ? 'Connection lost. Reconnecting…' : 'Connecting…'}</p>
        )}
      </div>
      {error && (
        <p role="alert" class="banner error"><Icon name="alert" /> {error} <button class="small" onClick={onClose}>Close</button></p>
      )}
    </>
  );
}

interface MainMenuProps {
  chat: Chat;
  config: Config;
  onAct: (act: Promise<unknown>) => void;
  onSignOut: () => void;
}

function MainMenu({ chat, config, onAct, onSignOut }: MainMenuProps) {
  const key = config.vapid_public_key;
  const offered = pushIsPossible(key);
  const [on, setOn] = useState(false);
  useEffect(() => {
    if (offered) void pushIsOn().then(setOn);
  }, []);
  const toggle = async () => {
    if (on) await turnPushOff(chat);
    else await turnPushOn(chat, key!);
    setOn(!on);
  };
  return (
    <Menu label="Menu">
      {(close) => (
        <>
          {offered && (
            <button type="button" onClick={() => (close(), onAct(toggle()))}>
              <Icon name="bell" /> {on ? 'Turn notifications off' : 'Notify me'}
            </button>
          )}
          <button type="button" onClick={() => (close(), turnTheme())}><Icon name="moon" /> Light or dark</button>
          <button type="button" onClick={() => (close(), onSignOut())}><Icon name="exit" /> Sign out</button>
        </>
      )}
    </Menu>
  );
}

// The browser's choice, until its user makes one here.
const prefersDark = matchMedia('(prefers-color-scheme: dark)');
function showTheme(): void {
  const theme = storage.get<string>('parley.theme') || (prefersDark.matches ? 'dark' : 'light');
  document.documentElement.dataset.theme = theme;
}
function turnTheme(): void {
  storage.set('parley.theme', document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark');
  showTheme();
}

function Failed({ why }: { why: string }) {
  return (
    <main class="sign-in">
      <div class="card" role="alert">
        <h1>Parley can’t start</h1>
        <p>{why}</p>
        <button class="primary" onClick={() => location.reload()}>Try again</button>
      </div>
    </main>
  );
}

showTheme();
prefersDark.addEventListener('change', showTheme);
const root = document.getElementById('app')!;
readConfig().then(
  (config) => render(<App config={config} />, root),
  (why) => render(<Failed why={sentence(why)} />, root),
);
