// A user without a browser: an MQTT client that writes.
import mqtt from 'mqtt';

export class Sender {
  static async open(url, user) {
    const sender = new Sender();
    sender.client = await mqtt.connectAsync(url, {
      protocolVersion: 5, clientId: `${user}:sender`, username: user, password: `password of ${user}`, reconnectPeriod: 0,
    });
    sender.ids = 0;
    return sender;
  }
  say(peer, body, more = {}) {
    return this.publish(`chat/${peer}`, { id: `s${++this.ids}`, body, ...more });
  }
  publish(topic, payload) {
    return this.client.publishAsync(topic, typeof payload === 'string' ? payload : JSON.stringify(payload), { qos: 1 });
  }
  close() {
    return this.client.endAsync();
  }
}
