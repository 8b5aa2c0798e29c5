// Two minutes with Fanfare: Alice and Bob meet in a channel and talk; Bob's
// connection drops, Alice talks on, Bob comes back and has missed nothing.
//
//   cargo run --release                          (in one terminal)
//   npm ci --prefix examples                     (in another)
//   node examples/two-minute-tour.mjs [http://127.0.0.1:8080]

import { randomUUID } from 'node:crypto';
import WebSocket from 'ws';

const server = new URL(process.argv[2] ?? 'http://127.0.0.1:8080');
const ANSWER_MS_MAX = 10_000;

/** One REST request; throws what the server refused. */
async function rest(method, path, { token, body, key } = {}) {
  const headers = { 'content-type': 'application/json' };
  if (token) headers.authorization = `Bearer ${token}`;
  if (key) headers['idempotency-key'] = key;
  const answer = await fetch(new URL(`/api/v1${path}`, server), {
    method,
    headers,
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  const { data, error } = text ? JSON.parse(text) : {};
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${error?.code}: ${error?.message}`);
  return data;
}

/**
 * One connection of one device. Keeps a cursor (epoch, seq) per conversation:
 * all it takes to come back without a gap and without a repeat.
 */
class Device {
  cursors = new Map();
  #name;
  #token;
  #socket;
  #nextId = 1;
  #waiting = new Map();
  #events = [];
  #wake = () => {};

  constructor(name, token) {
    this.#name = name;
    this.#token = token;
  }

  /** Connects and says hello with the cursors it holds. */
  async connect() {
    const url = new URL('/ws', server);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    this.#socket = new WebSocket(url, 'fanfare.v1.json');
    this.#socket.on('message', (bytes) => this.#onFrame(JSON.parse(bytes.toString())));
    await new Promise((resolve, reject) => {
      this.#socket.once('open', resolve);
      this.#socket.once('error', reject);
    });
    return this.ask('session:hello', {
      token: this.#token,
      device: { kind: 'desktop', name: `${this.#name}'s tour` },
      cursors: [...this.cursors.values()],
    });
  }

  /** Cuts the connection the hard way: no close frame, no good-bye. */
  async drop() {
    const closed = new Promise((resolve) => this.#socket.once('close', resolve));
    this.#socket.terminate();
    await closed;
  }

  async close() {
    const closed = new Promise((resolve) => this.#socket.once('close', resolve));
    this.#socket.close(1000);
    await closed;
  }

  /** Sends a frame and waits for its reply. */
  ask(type, data, key) {
    const id = this.#nextId++;
    const reply = new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no reply to ${type}`)), ANSWER_MS_MAX);
      this.#waiting.set(id, { resolve, reject, timer });
    });
    this.#socket.send(JSON.stringify({ id, type, data, ...(key && { key }) }));
    return reply;
  }

  /** Sends a message. The key makes a repeat harmless: it is sent once. */
  async say(conversation, text, key = randomUUID()) {
    const { message } = await this.ask('message:send', { conversation, text }, key);
    return message;
  }

  /** The next event of a kind, among those that came or will come. */
  async next(type) {
    const deadline = Date.now() + ANSWER_MS_MAX;
    for (;;) {
      const at = this.#events.findIndex((event) => event.type === type);
      if (at >= 0) return this.#events.splice(at, 1)[0];
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`${this.#name} waited for ${type} in vain`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  #startFrom({ conversation, epoch, seq }) {
    this.cursors.set(conversation, { conversation, epoch, seq });
  }

  #onFrame(frame) {
    if (frame.re !== undefined) {
      const { resolve, reject, timer } = this.#waiting.get(frame.re);
      this.#waiting.delete(frame.re);
      clearTimeout(timer);
      if (frame.error) reject(new Error(`${frame.error.code}: ${frame.error.message}`));
      else {
        // At once: the events behind it may have come in the same read.
        for (const start of frame.data.subscribed ?? []) this.#startFrom(start);
        resolve(frame.data);
      }
      return;
    }
    if (frame.type === 'conversation:created') this.#startFrom(frame.data.cursor);
    if (frame.seq !== undefined) {
      // Per conversation seq rises by exactly one; anything else is a gap.
      const cursor = this.cursors.get(frame.conversation);
      if (cursor && frame.seq !== cursor.seq + 1) {
        throw new Error(`gap: ${cursor.seq} is followed by ${frame.seq}`);
      }
      this.#startFrom(frame);
    }
    this.#events.push(frame);
    this.#wake();
  }
}

function step(text) {
  console.log(`\n${text}`);
}

function show(name, { seq, data }) {
  console.log(`  ${name} hears #${seq}: ${data.message.text}`);
}

async function register(name) {
  const username = `${name.toLowerCase()}-${randomUUID().slice(0, 8)}`;
  const { user, accessToken } = await rest('POST', '/auth/register', {
    body: {
      username,
      email: `${username}@example.com`,
      password: `correct horse ${randomUUID()}`,
      displayName: name,
    },
  });
  console.log(`  ${user.displayName} is ${user.username} (${user.id})`);
  return { user, token: accessToken };
}

step('1. Alice and Bob register.');
const alice = await register('Alice');
const bob = await register('Bob');

step('2. Alice opens a public channel, Bob joins.');
const { id: channel, slug } = await rest('POST', '/conversations', {
  token: alice.token,
  body: { kind: 'channel', title: 'The tour', slug: `tour-${randomUUID().slice(0, 8)}`, visibility: 'public' },
});
await rest('POST', `/conversations/${channel}/join`, { token: bob.token });
console.log(`  #${slug} (${channel})`);

step('3. Both connect and say hello.');
const alicesLaptop = new Device('Alice', alice.token);
const bobsPhone = new Device('Bob', bob.token);
await alicesLaptop.connect();
const { subscribed } = await bobsPhone.connect();
console.log(`  Bob is subscribed to ${subscribed.length} conversation`);

step('4. Alice sends; the reply comes when it is durable.');
const first = await alicesLaptop.say(channel, 'Hello Bob! Can you hear the fanfare?');
console.log(`  acknowledged as #${first.seq}`);
show('Bob', await bobsPhone.next('message:received'));

step('5. Bob’s connection drops. Alice talks on.');
await bobsPhone.drop();
await alicesLaptop.say(channel, 'Bob?');
const key = randomUUID();
const third = await alicesLaptop.say(channel, 'I will say it again when you are back.', key);
const again = await alicesLaptop.say(channel, 'I will say it again when you are back.', key);
console.log(`  sent twice with one key, stored once: #${third.seq} and #${again.seq}`);

step('6. Bob comes back with his cursor and gets what he missed, once, in order.');
await bobsPhone.connect();
show('Bob', await bobsPhone.next('message:received'));
show('Bob', await bobsPhone.next('message:received'));
await bobsPhone.say(channel, 'Here I am. Nothing missed.');
for (let heard = 0; heard < 4; heard++) show('Alice', await alicesLaptop.next('message:received'));

step('7. The history says the same.');
const history = await rest('GET', `/conversations/${channel}/messages?limit=10`, { token: bob.token });
for (const { seq, author, text } of history) {
  console.log(`  #${seq} ${author === bob.user.id ? 'Bob' : 'Alice'}: ${text}`);
}

await alicesLaptop.close();
await bobsPhone.close();
step('That was the tour.');
