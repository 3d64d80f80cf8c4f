// Shows what the server pushes while no page is open, and opens the conversation on a click.

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('push', (event) => event.waitUntil(show(event.data)));
self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data));
});

// chat/bob or group/readers, as the page's address has it; '' for anything else.
function talkOf({ from, group } = {}) {
  const talk = group ? `group/${group}` : `chat/${from}`;
  return /^(chat|group)\/[a-z0-9][a-z0-9._-]{0,63}$/.test(talk) ? talk : '';
}

async function show(data) {
  let message = {};
  try {
    message = data.json();
  } catch {
    // A wake without words: the user is told that there is something.
  }
  const pages = await self.clients.matchAll({ type: 'window' });
  if (pages.some((page) => page.focused)) return;
  const talk = talkOf(message);
  const text = typeof message.body === 'string' ? message.body : 'New message';
  await self.registration.showNotification(message.title ?? message.group ?? message.from ?? 'Parley', {
    body: message.group && message.from ? `${message.from}: ${text}` : text,
    tag: talk || 'parley',
    icon: 'icon.svg',
    data: talk,
  });
}

async function open(talk) {
  const url = `./#${talk}`;
  const [page] = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
  if (!page) return self.clients.openWindow(url);
  await page.focus();
  page.postMessage({ open: talk });
}
