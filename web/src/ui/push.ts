import { type Chat } from '../chat/chat';

// Opting in to Web Push: the browser asks its user, the browser's push service gives an address, and
// that address goes to the server as this device's.

export const pushIsPossible = (vapidKey: string | null | undefined): vapidKey is string =>
  !!vapidKey && 'serviceWorker' in navigator && 'PushManager' in window && 'Notification' in window;

const registration = (): Promise<ServiceWorkerRegistration> => navigator.serviceWorker.register('sw.js');

export async function pushIsOn(): Promise<boolean> {
  const worker = await navigator.serviceWorker.getRegistration();
  return !!(await worker?.pushManager.getSubscription());
}

export async function turnPushOn(chat: Chat, vapidKey: string): Promise<void> {
  if ((await Notification.requestPermission()) !== 'granted') {
    throw new Error('this browser doesn’t allow the page to notify you');
  }
  await registration();
  const worker = await navigator.serviceWorker.ready;
  const subscription = await worker.pushManager.subscribe({
    userVisibleOnly: true,
    applicationServerKey: bytesOf(vapidKey),
  });
  await chat.connection.ask('push.subscribe', { provider: 'webpush', target: subscription.toJSON() });
}

export async function turnPushOff(chat: Chat): Promise<void> {
  const worker = await navigator.serviceWorker?.getRegistration();
  const subscription = await worker?.pushManager.getSubscription();
  if (!subscription) return;
  // First here: where the server can't be told now, the browser's push service will tell it.
  await subscription.unsubscribe();
  await chat.connection.ask('push.unsubscribe', { provider: 'webpush' });
}

function bytesOf(base64url: string): Uint8Array<ArrayBuffer> {
  const base64 = base64url.replace(/-/g, '+').replace(/_/g, '/');
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}
