// Holds docs/asyncapi.yaml against the running program:
//   node asyncapi.js PORT TABLE DOCUMENT
// TABLE (JSON) is what the program says of itself: {"methods":{"sync":["rid",…],…},"publish":["chat/{user}",…]},
// the addresses that somebody may publish to. The broker has the accounts alice, bob, carol and gateway (a
// service), with passwords "password of <user>".
// Prints what doesn't fit, a line each, and exits with 1 if anything doesn't.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import Ajv from 'ajv';
import mqtt from 'mqtt';
import YAML from 'yaml';

const [port, tableFile, documentFile] = process.argv.slice(2);
const document = YAML.parse(readFileSync(documentFile, 'utf8'));
const table = JSON.parse(readFileSync(tableFile, 'utf8'));
const deadlineMs = 30_000;

let wrong = 0;
const complain = (what) => {
  wrong += 1;
  console.log(what);
};

// ---- The document by itself

function validateDocument() {
  const schema = createRequire(import.meta.url)('@asyncapi/specs/schemas/3.0.0-without-$id.json');
  const validate = new Ajv({ strict: false, allErrors: true, logger: false }).compile(schema);
  if (validate(document)) return;
  for (const { instancePath, message } of validate.errors) complain(`${instancePath}: ${message}`);
}

// What a pointer points to, through further references.
function resolve(node) {
  while (node && node.$ref) {
    const path = node.$ref.slice(2).split('/').map((part) => part.replace(/~1/g, '/'));
    const target = path.reduce((at, part) => at?.[part], document);
    if (target === undefined) throw new Error(`nothing at ${node.$ref}`);
    node = target;
  }
  return node;
}

function checkReferences(node) {
  if (node === null || typeof node !== 'object') return;
  try {
    if (node.$ref) resolve(node);
  } catch (error) {
    complain(error.message);
  }
  Object.values(node).forEach(checkReferences);
}

const ajv = new Ajv({ strict: false });
ajv.addSchema({ $id: 'document', ...document });
const validators = new Map();
// The validator of a message of a channel.
function validator(channel, name) {
  const key = `${channel}/${name}`;
  if (!validators.has(key)) {
    const { payload } = resolve(document.channels[channel].messages[name]);
    // Pointers within it are the document's.
    const absolute = JSON.parse(JSON.stringify(payload).replaceAll('"#/', '"document#/'));
    validators.set(key, ajv.compile(absolute));
  }
  return validators.get(key);
}

const parse = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

// ---- Against the program's own tables

const sorted = (list) => [...list].sort().join(' ');

function compareMethods() {
  const messages = document.channels.ask.messages;
  if (sorted(Object.keys(messages)) !== sorted(Object.keys(table.methods))) {
    complain(`methods: ${sorted(Object.keys(messages))}\n   program: ${sorted(Object.keys(table.methods))}`);
  }
  for (const [name, members] of Object.entries(table.methods)) {
    const message = messages[name] && resolve(messages[name]);
    const has = Object.keys(message ? resolve(message.payload).properties : {});
    if (sorted(has) !== sorted(members)) complain(`${name} has ${sorted(has)}, the program ${sorted(members)}`);
    if (!document.operations[`ask.${name}`]) complain(`no operation ask.${name}`);
  }
}

// The addresses of a channel: one for each value of a parameter that has an enum.
function addressesOf({ address, parameters = {} }) {
  return Object.entries(parameters).reduce((all, [name, parameter]) => {
    const values = resolve(parameter).enum ?? [`{${name}}`];
    return all.flatMap((one) => values.map((value) => one.replace(`{${name}}`, value)));
  }, [address]);
}

function compareAddresses() {
  const sent = Object.values(document.operations).filter((one) => one.action === 'send').map((one) => resolve(one.channel));
  const addresses = [...new Set(sent)].flatMap(addressesOf);
  if (sorted(addresses) === sorted(table.publish)) return;
  complain(`to be published to: ${sorted(addresses)}\n   program: ${sorted(table.publish)}`);
}

// ---- Against the running broker

const channelOf = (topic) => {
  if (topic.startsWith('typing/group/')) return 'typingGroup';
  if (/^as\/[^/]+\/login$/.test(topic)) return 'login';
  if (topic.startsWith('$CONTROL/')) return topic.endsWith('/response') ? 'controlResponse' : 'control';
  if (topic.startsWith('$SYS/')) return 'figures';
  if (topic === 'push/done') return 'pushDone';
  return topic.split('/')[0];
};

// The messages that an operation `receive` of the channel names, or that answer the operation.
const received = (channel) => Object.values(document.operations)
  .filter((one) => one.action === 'receive' && resolve(one.channel) === document.channels[channel])
  .flatMap((one) => one.messages ?? []);
const nameOf = (reference) => reference.$ref.split('/').pop();

class Device {
  constructor(user) {
    this.user = user;
    this.client = `${user}:docs`;
    this.waiting = [];
  }

  async open() {
    this.connection = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, {
      clientId: this.client, username: this.user, password: `password of ${this.user}`, reconnectPeriod: 0,
    }, false);
    this.connection.on('message', (topic, payload) => this.take(topic, payload.toString()));
    for (const channel of ['chat', 'receipt', 'presence', 'typing']) {
      await this.connection.subscribeAsync(`${channel}/${this.user}`, { qos: 1 });
    }
  }

  // Everything that arrives is as the document has it.
  take(topic, text) {
    const channel = channelOf(topic);
    const payload = parse(text);
    if (channel !== 'answer') {
      const fits = received(channel).some((one) => validator(channel, nameOf(one))(payload));
      if (!fits) complain(`${topic}: ${text} isn't in the document`);
    }
    this.waiting = this.waiting.filter((one) => !one(channel, payload));
  }

  // The first of what comes that `pick` takes.
  next(what, pick) {
    return new Promise((done, fail) => {
      const timer = setTimeout(() => fail(new Error(`${this.user} gets nothing for ${what}`)), deadlineMs);
      this.waiting.push((channel, payload) => {
        if (!pick(channel, payload)) return false;
        clearTimeout(timer);
        done({ channel, payload });
        return true;
      });
    });
  }
}

const devices = Object.fromEntries(['alice', 'bob', 'carol', 'gateway'].map((user) => [user, new Device(user)]));

// What comes of an example, if anything does: an own copy or an answer.
async function outcomeOf(device, topic, payload, message) {
  const what = `${topic} ${JSON.stringify(payload)}`;
  const kind = topic.split('/')[0] === 'as' ? topic.split('/')[2] : topic.split('/')[0];
  const first = device.next(what, (channel, got) => {
    if (channel === 'answer' && got.rid === 'behind') return true;
    if (channel === 'answer') return kind !== 'ask' || got.rid === payload.rid;
    if (kind !== 'chat' && kind !== 'group') return false;
    return got.from === device.user && (payload.id === undefined || got.id === payload.id);
  });
  const text = message.contentType === 'text/plain' ? payload : JSON.stringify(payload);
  await device.connection.publishAsync(topic, text, { qos: 1 });
  if (['ask', 'chat', 'group', 'login'].includes(kind)) return first;
  // Of the others only what is wrong is answered: a request behind it tells that it wasn't.
  const behind = device.next('what is behind', (channel, got) => got.rid === 'behind');
  await device.connection.publishAsync('ask/recent', '{"rid":"behind"}', { qos: 1 });
  await behind;
  const outcome = await first;
  return outcome.payload.rid === 'behind' ? undefined : outcome;
}

// The names of the messages on `answer` that may answer this one.
function answersTo(channel, name) {
  const all = Object.values(document.operations).filter((one) => one.action === 'send' && one.reply);
  const mine = all.find((one) => resolve(one.channel) === document.channels[channel]
    && (one.messages ?? []).some((reference) => nameOf(reference) === name));
  return mine ? mine.reply.messages.map(nameOf) : Object.keys(document.channels.answer.messages);
}

async function run(channel, name, message, example) {
  const [, from, topic, error] = /^(\w+) → (\S+)(?: ✗ (\w+))?$/.exec(example.summary ?? `alice → ask/${name}`);
  const device = devices[from];
  const what = `${topic} ${JSON.stringify(example.payload)}`;
  if (channelOf(topic) !== channel) complain(`${what} is an example of ${channel}`);
  if (!error && !validator(channel, name)(example.payload)) complain(`${what} isn't by its own schema`);
  const outcome = await outcomeOf(device, topic, example.payload, message);
  const code = outcome?.payload?.error?.code;
  if (code !== error) complain(`${what}: ${code ?? 'ok'}, not ${error ?? 'ok'}`);
  if (outcome?.channel !== 'answer') return;
  const names = answersTo(channel, name);
  if (!names.some((one) => validator('answer', one)(outcome.payload))) {
    complain(`${what}: ${JSON.stringify(outcome.payload)} isn't ${names.join(' or ')}`);
  }
}

async function runExamples() {
  for (const device of Object.values(devices)) await device.open();
  let count = 0;
  for (const [channel, { messages }] of Object.entries(document.channels)) {
    for (const [name, reference] of Object.entries(messages)) {
      const message = resolve(reference);
      for (const example of message.examples ?? []) {
        await run(channel, name, message, example);
        count += 1;
      }
    }
  }
  for (const method of Object.keys(document.channels.ask.messages)) {
    if (!resolve(document.channels.ask.messages[method]).examples?.length) complain(`${method} has no example`);
  }
  console.log(`${count} examples`);
}

// Who may publish and subscribe: nothing but what the document has.
async function checkTopics() {
  const { connection } = devices.alice;
  const may = async (filter) => {
    try {
      const granted = await connection.subscribeAsync(filter, { qos: 1 });
      return granted.every(({ qos }) => qos < 128);
    } catch {
      return false;
    }
  };
  const fill = (address) => address.replace('{user}', 'alice').replace('{client}', 'alice:docs')
    .replace('{group}', 'town').replace('{method}', 'recent');
  for (const [name, channel] of Object.entries(document.channels)) {
    const wanted = received(name).length > 0 || name === 'answer';
    const granted = await may(fill(channel.address));
    if (granted !== wanted) complain(`${channel.address} ${granted ? 'can' : "can't"} be subscribed to`);
  }
}

validateDocument();
checkReferences(document);
compareMethods();
compareAddresses();
try {
  await runExamples();
  await checkTopics();
} catch (error) {
  complain(error.stack);
}
process.exit(wrong === 0 ? 0 : 1);
