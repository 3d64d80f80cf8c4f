import mqtt from 'mqtt';

import { type End, type Link, type LinkEvents, type Login, type OpenLink } from './connection';

// MQTT 5's reason codes that mean something to us.
const takenOver = 0x8e;
const refusals = [0x86, 0x87, 4, 5];

// Links by MQTT.js over a WebSocket. Nothing of MQTT.js's own remains from one to the next: what must
// be sent again is the outbox's to know.
export function overWebSocket(url: string): OpenLink {
  return (login: Login, events: LinkEvents): Link => {
    const client = mqtt.connect(url, {
      protocolVersion: 5,
      clientId: login.device,
      username: login.user,
      password: login.secret(),
      clean: true,
      // Timers of pages in the background run once a minute.
      keepalive: 75,
      timerVariant: 'native', // others need blob: in the content-security policy
      connectTimeout: 10_000,
      reconnectPeriod: 0,
      queueQoSZero: false,
      resubscribe: false,
      will: { topic: `presence/${login.user}`, payload: 'offline', qos: 0, retain: false },
    });
    let end: End = 'lost';
    const link: Link = {
      publish: (topic, payload) => void client.publish(topic, payload, { qos: 0 }),
      subscribe: async (topics) => void (await client.subscribeAsync(topics, { qos: 0 })),
      close: () => void client.end(),
    };
    client.on('connect', () => events.up(link));
    client.on('message', (topic, payload) => events.message(topic, payload.toString()));
    client.on('disconnect', (packet) => {
      if (packet.reasonCode === takenOver) end = 'taken';
    });
    client.on('error', (error) => {
      if ('code' in error && refusals.includes(Number(error.code))) end = 'refused';
    });
    client.on('close', () => events.down(end));
    return link;
  };
}
