// A device on MQTT.js, driven by the lines of standard input, a JSON object each:
//   {"do":"open","port":1,"user":"…","password":"…","clientId":"…","version":4}
//   {"do":"subscribe","topic":"…"}  {"do":"publish","topic":"…","payload":"…"}  {"do":"close"}
// Prints {"done":true} or {"failed":"why"} for each, in order, and {"topic":"…","payload":"…"} for
// each message that arrives.
import { createInterface } from 'node:readline';
import mqtt from 'mqtt';

const print = (object) => process.stdout.write(JSON.stringify(object) + '\n');

let client;

const actions = {
  async open({ port, user, password, clientId, version }) {
    client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, {
      clientId,
      username: user,
      password,
      protocolVersion: version,
      clean: true,
      reconnectPeriod: 0,
    }, false);
    client.on('message', (topic, payload) => print({ topic, payload: payload.toString() }));
    client.on('error', (error) => print({ failed: String(error) }));
  },
  async subscribe({ topic }) {
    const granted = await client.subscribeAsync(topic, { qos: 1 });
    if (granted.some(({ qos }) => qos >= 128)) throw new Error(`refused: ${topic}`);
  },
  publish: ({ topic, payload }) => client.publishAsync(topic, payload, { qos: 1 }),
  close: () => client.endAsync(),
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  try {
    await actions[command.do](command);
    print({ done: true });
  } catch (error) {
    print({ failed: String(error) });
  }
}
process.exit(0);
