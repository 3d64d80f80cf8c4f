// Stands for all push providers, and checks what comes with implementations other than Parley's:
//   node push_server.js DIRECTORY PORT
// DIRECTORY has server.crt and server.key; it is given apns.p8 and fcm.json, keys that sign for this server's
// base URL. Speaks HTTP/2 and HTTP/1.1 over TLS on 127.0.0.1:PORT.
//
// Prints {"ready":true,"webpush":PushSubscription,"vapidOrigin":…}, then a line of JSON for each request:
// {"path":…,"status":… (what it was answered with),"http":"1.1" or "2.0","wrong":[…], …what was sent}.
// Reads lines {"path":…,"answers":[…]}: what requests to that path get, one after the other, before they get 201:
// {"status":…,"retryAfter":seconds,"body":…,"location":…}, {"hang":true}, {"reset":true}; {"hold":true}, 201 when
// {"path":…,"release":true} comes, which prints {"path":…,"released":true} once the answer has left.
import { createECDH, createHmac, createPublicKey, createVerify, generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createSecureServer } from 'node:http2';
import { createInterface } from 'node:readline';
import ece from 'http_ece';

const [directory, port] = process.argv.slice(2);
const base = `https://127.0.0.1:${port}`;
const webhookSecret = 'the secret of this webhook';
const accessToken = 'an-access-token';

// ---- Keys that others are given

const browser = createECDH('prime256v1');
browser.generateKeys();
const auth = randomBytes(16);
const subscription = {
  endpoint: `${base}/webpush/phone`,
  expirationTime: null,
  keys: { p256dh: browser.getPublicKey('base64url'), auth: auth.toString('base64url') },
};

const apns = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
writeFileSync(`${directory}/apns.p8`, apns.privateKey.export({ type: 'pkcs8', format: 'pem' }));
const fcm = generateKeyPairSync('rsa', { modulusLength: 2048 });
writeFileSync(`${directory}/fcm.json`, JSON.stringify({
  type: 'service_account',
  project_id: 'a-project',
  private_key_id: 'key-1',
  private_key: fcm.privateKey.export({ type: 'pkcs8', format: 'pem' }),
  client_email: 'parley@a-project.example',
  token_uri: `${base}/token`,
}));

// ---- Checks: each returns what is wrong, and adds what it read to `seen`

const decode = (part) => JSON.parse(Buffer.from(part, 'base64url').toString());

// The claims of a JWT that `key` has signed; else what is wrong.
function readJwt(jwt, algorithm, key, wrong) {
  const [header, claims, signature] = jwt.split('.');
  if (decode(header).alg !== algorithm) wrong.push(`alg ${decode(header).alg}`);
  const verify = createVerify('SHA256').update(`${header}.${claims}`);
  const good = verify.verify({ key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'));
  if (!good) wrong.push('the JWT has another signature');
  return { header: decode(header), claims: decode(claims) };
}

const now = () => Date.now() / 1000;

function checkWebPush({ headers, body }, seen, wrong) {
  const [, jwt, key] = /^vapid t=([^,]+), k=(.+)$/.exec(headers.authorization ?? '') ?? [];
  if (!jwt) return wrong.push('no vapid authorization');
  const point = Buffer.from(key, 'base64url');
  const publicKey = createPublicKey({
    key: { kty: 'EC', crv: 'P-256', x: point.subarray(1, 33).toString('base64url'), y: point.subarray(33).toString('base64url') },
    format: 'jwk',
  });
  const { claims } = readJwt(jwt, 'ES256', publicKey, wrong);
  if (claims.aud !== base) wrong.push(`aud ${claims.aud}`);
  if (!(claims.exp > now() && claims.exp <= now() + 86400)) wrong.push(`exp ${claims.exp}`);
  if (claims.sub !== 'mailto:push@parley.example') wrong.push(`sub ${claims.sub}`);
  if (headers['content-encoding'] !== 'aes128gcm') wrong.push('content-encoding');
  if (!/^\d+$/.test(headers.ttl ?? '')) wrong.push('ttl');
  if (!/^[A-Za-z0-9_-]{1,32}$/.test(headers.topic ?? '')) wrong.push('topic');
  seen.vapid = key;
  seen.topic = headers.topic;
  const plain = ece.decrypt(body, { version: 'aes128gcm', privateKey: browser, authSecret: auth });
  seen.message = JSON.parse(plain.toString());
}

function checkWebhook({ headers, body }, seen, wrong) {
  const time = headers['parley-timestamp'];
  const mac = createHmac('sha256', webhookSecret).update(`${time}.`).update(body).digest('hex');
  if (headers['parley-signature'] !== `v1=${mac}`) wrong.push('the signature');
  if (!(Math.abs(time - now()) < 300)) wrong.push(`the time ${time}`);
  seen.message = JSON.parse(body.toString());
}

function checkToken({ body }, seen, wrong) {
  const form = new URLSearchParams(body.toString());
  if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:jwt-bearer') wrong.push('grant_type');
  const { header, claims } = readJwt(form.get('assertion'), 'RS256', fcm.publicKey, wrong);
  if (header.kid !== 'key-1') wrong.push('kid');
  if (claims.iss !== 'parley@a-project.example' || claims.aud !== `${base}/token`) wrong.push('iss or aud');
  if (claims.scope !== 'https://www.googleapis.com/auth/firebase.messaging') wrong.push('scope');
  if (!(claims.exp > now() && claims.exp <= now() + 3600)) wrong.push('exp');
  seen.body = { access_token: accessToken, expires_in: 3599, token_type: 'Bearer' };
}

function checkFcm({ headers, body }, seen, wrong) {
  if (headers.authorization !== `Bearer ${accessToken}`) wrong.push('authorization');
  const { message } = JSON.parse(body.toString());
  seen.message = message;
  for (const [name, value] of Object.entries(message.data)) {
    if (typeof value !== 'string') wrong.push(`data ${name} is no string`);
    if (name === 'from' || /^(google|gcm)/.test(name)) wrong.push(`data ${name} is FCM's own`);
  }
}

function checkApns({ headers, body, http }, seen, wrong) {
  if (http !== '2.0') wrong.push(`HTTP ${http}`);
  const [, jwt] = /^bearer (.+)$/.exec(headers.authorization ?? '') ?? [];
  if (!jwt) return wrong.push('no authorization');
  const { header, claims } = readJwt(jwt, 'ES256', apns.publicKey, wrong);
  if (header.kid !== 'KEY1234567' || claims.iss !== 'TEAM123456') wrong.push('kid or iss');
  if (!(Math.abs(claims.iat - now()) < 3600)) wrong.push('iat');
  if (headers['apns-topic'] !== 'com.example.parley') wrong.push('apns-topic');
  if (headers['apns-push-type'] !== 'alert') wrong.push('apns-push-type');
  if (!(headers['apns-collapse-id']?.length <= 64)) wrong.push('apns-collapse-id');
  seen.message = JSON.parse(body.toString());
}

function checkNtfy({ headers, body }, seen) {
  seen.message = { title: headers.title, text: body.toString(), authorization: headers.authorization };
}

const checks = {
  webpush: checkWebPush, webhook: checkWebhook, token: checkToken, v1: checkFcm, 3: checkApns, ntfy: checkNtfy,
};

// ---- The server

const answers = new Map();
const held = new Map(); // by path: ends the answer
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

function answer(request, response, body) {
  const path = request.url;
  const seen = { path, http: request.httpVersion };
  const wrong = [];
  const next = answers.get(path)?.shift() ?? { status: 201 };
  try {
    checks[path.split('/')[1]]?.({ headers: request.headers, body, http: request.httpVersion }, seen, wrong);
  } catch (error) {
    wrong.push(error.message);
  }
  if (request.method !== 'POST') wrong.push(request.method);
  const text = next.body ?? (seen.body && JSON.stringify(seen.body)) ?? '';
  delete seen.body;
  const status = path === '/token' && next.status === 201 ? 200 : next.status;
  say({ ...seen, wrong, status: status ?? Object.keys(next)[0] });
  if (next.hang) return;
  if (next.hold) {
    held.set(path, () => {
      response.writeHead(201);
      response.end(() => say({ path, released: true }));
    });
    return;
  }
  if (next.reset) {
    (request.stream?.session ?? request.socket).destroy();
    return;
  }
  const headers = {};
  if (next.retryAfter !== undefined) headers['retry-after'] = String(next.retryAfter);
  if (next.location) headers.location = next.location;
  response.writeHead(status, headers);
  response.end(text);
}

const server = createSecureServer({
  allowHTTP1: true,
  cert: readFileSync(`${directory}/server.crt`),
  key: readFileSync(`${directory}/server.key`),
}, (request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => answer(request, response, Buffer.concat(parts)));
  request.on('error', () => {});
});
server.on('sessionError', () => {});
server.on('clientError', () => {});
server.on('tlsClientError', () => {});
server.listen(Number(port), '127.0.0.1', () => say({ ready: true, webpush: subscription }));

createInterface({ input: process.stdin }).on('line', (line) => {
  const { path, answers: list, release } = JSON.parse(line);
  if (release) {
    held.get(path)();
    return;
  }
  answers.set(path, list);
  say({ path, set: list.length });
}).on('close', () => process.exit(0));
