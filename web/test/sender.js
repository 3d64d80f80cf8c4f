// A user without a browser: an MQTT client that writes.
import mqtt from 'mqtt';

export class Sender {
  static async open(url, user) {
    const sender = new Sender();
    sender.client = await mqtt.connectAsync(url, {
      protocolVersion: 5, clientId: `${user}:sender`, username: user, password: `password of ${user}`, reconnectPeriod: 0,
    });
    sender.ids = 0;
    sender.name = Math.random().toString(36).slice(2, 10); // of its ids: each of a user's senders has others
    sender.waiting = new Map(); // by id: what waits for the server's word
    sender.client.on('message', (_, payload) => {
      const answer = JSON.parse(payload);
      const { resolve, reject } = sender.waiting.get(answer.id ?? answer.rid) ?? {};
      if (answer.ok) resolve?.(answer);
      else reject?.(new Error(`${user}: ${payload}`));
    });
    return sender;
  }
  freshId() {
    return `${this.name}-${++this.ids}`;
  }
  say(peer, body, more = {}) {
    return this.publish(`chat/${peer}`, { id: this.freshId(), body, ...more });
  }
  publish(topic, payload) {
    return this.client.publishAsync(topic, typeof payload === 'string' ? payload : JSON.stringify(payload), { qos: 1 });
  }
  // The same, and resolves once it is done: a message is stored, a request answered.
  async tell(topic, payload) {
    const id = payload.id ?? this.freshId();
    const answer = new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
    await this.publish(topic, topic.startsWith('ask/') ? { rid: id, ...payload } : { id, ...payload });
    return answer;
  }
  close() {
    return this.client.endAsync();
  }
}
