// Shows what the server pushes while no page is open, and opens the conversation on a click.

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('push', (event) => event.waitUntil(show(event.data)));
self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data));
});

// The conversation as the page's address has it, chat/bob or group/readers; '' for anything else.
function talkOf({ with: peer, group }) {
  const talk = group ? `group/${group}` : `chat/${peer}`;
  return /^(chat|group)\/[a-z0-9][a-z0-9._-]{0,63}$/.test(talk) ? talk : '';
}

// docs/push.md has what is in a push.
function textOf({ from, group, count, body }) {
  if (count > 1) return `${count} new messages`;
  const text = typeof body === 'string' ? body : 'New message';
  return group ? `${from}: ${text}` : text;
}

async function show(data) {
  let push = {};
  try {
    push = data.json();
  } catch {
    // A wake without words: the user is told that there is something.
  }
  const pages = await self.clients.matchAll({ type: 'window' });
  if (pages.some((page) => page.focused)) return;
  await self.registration.showNotification(push.group ?? push.from ?? 'Parley', {
    body: textOf(push),
    tag: push.tag ?? 'parley',
    icon: 'icon.svg',
    data: talkOf(push),
  });
}

async function open(talk) {
  const url = `./#${talk}`;
  const [page] = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
  if (!page) return self.clients.openWindow(url);
  await page.focus();
  page.postMessage({ open: talk });
}
