#!/usr/bin/env node
// start.mjs NAME [--cpu LIST] [--users COUNT]: starts one peer on a free
// loopback port, prints one line of JSON when it accepts connections, and stops
// it, by process id, when its own standard input ends or it gets SIGTERM or
// SIGINT. With --cpu the peer and its children run on those processors only.
//
//   {"peer":"nats","version":"2.15.2","url":"ws://127.0.0.1:41513/","port":41513,"pids":[4242],"tokens":["s3f…"]}
//
// `pids` are what the peer consists of; children they start count too. `tokens`
// are what its users show: one each (a JWT), one that all share, or none. A
// starter that is killed takes its peer along (setpriv's parent-death signal).
import { execFileSync, spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const READY_MS_MAX = 30_000;
const STOP_MS_MAX = 10_000;
const SOCKET_IO = '/socket.io/?EIO=4&transport=websocket';
const COMPLAINT_MAX = 4000; // characters kept of what a peer writes to its standard error
const here = dirname(fileURLToPath(import.meta.url));
const tools = process.env.FANFARE_TOOLS ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'fanfare/tools');
const versions = Object.fromEntries(
  readFileSync(join(here, 'versions'), 'utf8').split('\n').filter(Boolean).map((line) => line.split(' ')),
);

const peers = {
  ws: { start: () => node('ws', 'servers/ws.mjs'), tokens: () => [] },
  'ws-coalescing': { start: () => node('ws', 'servers/ws.mjs', ['--coalesce']), tokens: () => [] },
  socketio: { start: () => node('socket.io', 'servers/socketio.mjs'), path: SOCKET_IO, tokens: signed },
  'socketio-pg': { start: socketioPg, path: SOCKET_IO, tokens: signed },
  nats: { start: nats, tokens: () => [secret] },
  centrifugo: { start: centrifugo, path: '/connection/websocket', tokens: signed },
  'centrifugo-history': { start: centrifugo, path: '/connection/websocket', tokens: signed },
};

const { cpu: cpus, users, name } = wishes();
const secret = `s${randomBytes(24).toString('hex')}`;
const folder = mkdtempSync(join(tmpdir(), 'fanfare-peer-'));
const children = []; // in the order they were started
let stopping = false;

process.on('SIGTERM', stop);
process.on('SIGINT', stop);
process.stdin.on('end', stop).on('error', stop).resume();
const overdue = setTimeout(() => fail(`${name} was not ready within ${READY_MS_MAX} ms`), READY_MS_MAX);
try {
  const { version, port } = await peers[name].start();
  clearTimeout(overdue);
  const pids = children.map(({ child }) => child.pid);
  const url = `ws://127.0.0.1:${port}${peers[name].path ?? '/'}`;
  console.log(JSON.stringify({ peer: name, version, url, port, pids, tokens: peers[name].tokens() }));
} catch (failure) {
  fail(failure.message);
}

function wishes() {
  try {
    const options = { cpu: { type: 'string' }, users: { type: 'string', default: '1' } };
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    if (positionals.length !== 1 || !Object.hasOwn(peers, positionals[0])) throw new Error('which peer?');
    return { ...values, name: positionals[0] };
  } catch (failure) {
    console.error(`${failure.message}\nusage: start.mjs ${Object.keys(peers).join('|')} [--cpu LIST] [--users COUNT]`);
    process.exit(2);
  }
}

// A JWT (RFC 7519, HS256) for each user, named by its number from 0.
function signed() {
  const part = (value) => Buffer.from(value).toString('base64url');
  const header = part('{"alg":"HS256","typ":"JWT"}');
  return Array.from({ length: Number(users) }, (_, user) => {
    const signable = `${header}.${part(JSON.stringify({ sub: String(user) }))}`;
    return `${signable}.${createHmac('sha256', secret).update(signable).digest('base64url')}`;
  });
}

// A server of this folder, in Node.
async function node(packageName, script, flags = [], env = {}) {
  const manifest = join(here, 'node_modules', packageName, 'package.json');
  if (!existsSync(manifest)) throw new Error(`${packageName} is not installed: run make bench-peers`);
  const child = run(process.execPath, [join(here, script), ...flags], { env });
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return { version: JSON.parse(readFileSync(manifest, 'utf8')).version, port: JSON.parse(line).port };
}

async function nats() {
  const version = versions['nats-server'];
  const child = run(binary('nats-server', version), ['-c', join(here, 'nats.conf')], { env: { PEER_FOLDER: folder } });
  const ports = `nats-server_${child.pid}.ports`;
  const { websocket } = await until(() => readdirSync(folder).includes(ports) && parsed(join(folder, ports)));
  return { version, port: Number(new URL(websocket[0]).port) };
}

async function centrifugo() {
  const version = versions.centrifugo;
  const port = await freePort();
  run(binary('centrifugo', version), ['-c', join(here, 'centrifugo.json')], {
    env: { CENTRIFUGO_HTTP_SERVER_PORT: String(port), CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY: secret },
  });
  await until(() => accepts(port));
  return { version, port };
}

// PostgreSQL with a cluster of its own in the temporary folder, reached through
// a Unix socket there, then the Socket.IO server that inserts into it.
async function socketioPg() {
  const home = postgresHome();
  const data = join(folder, 'data');
  const account = process.getuid() === 0 ? postgresAccount() : undefined;
  if (account) chownSync(folder, account.uid, account.gid);
  chmodSync(folder, 0o755);
  const user = account ? ['setpriv', `--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups'] : ['env'];
  execFileSync(user[0], [...user.slice(1), join(home, 'initdb'), '-D', data, '-A', 'trust', '-U', 'peer', '-E', 'UTF8'], { stdio: 'pipe' });
  const settings = { listen_addresses: '', unix_socket_directories: folder, shared_buffers: '256MB', max_wal_size: '4GB', jit: 'off' };
  const flags = Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`]);
  run(join(home, 'postgres'), ['-D', data, ...flags], { account, signal: 'SIGINT' });
  await until(() => existsSync(join(data, 'postmaster.pid')) && /ready\s*$/.test(readFileSync(join(data, 'postmaster.pid'), 'utf8')));
  const postgres = execFileSync(join(home, 'postgres'), ['--version'], { encoding: 'utf8' }).split(' ')[2];
  const peer = await node('socket.io', 'servers/socketio.mjs', ['--store'], { PGHOST: folder, PGUSER: 'peer' });
  return { ...peer, version: `${peer.version} on PostgreSQL ${postgres}` };
}

function postgresHome() {
  const root = '/usr/lib/postgresql';
  const newest = existsSync(root) && readdirSync(root).sort((a, b) => b - a).find((version) => existsSync(join(root, version, 'bin/initdb')));
  if (!newest) throw new Error('PostgreSQL is not installed: run make bench-peers');
  return join(root, newest, 'bin');
}

// PostgreSQL refuses to run as root.
function postgresAccount() {
  const line = readFileSync('/etc/passwd', 'utf8').split('\n').find((entry) => entry.startsWith('postgres:'));
  if (!line) throw new Error('there is no account named postgres');
  const [, , uid, gid] = line.split(':').map(Number);
  return { uid, gid };
}

// Starts one process of the peer, pinned when that was asked for. Its process
// id is the command's own: setpriv and taskset become it.
function run(command, args, { env = {}, account, signal = 'SIGTERM' } = {}) {
  if (stopping) throw new Error('stopped before it was ready');
  const line = ['setpriv', `--pdeathsig=${signal.slice(3)}`];
  if (account) line.push(`--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups');
  if (cpus) line.push('taskset', '--cpu-list', cpus);
  line.push(command, ...args);
  const child = spawn(line[0], line.slice(1), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, FANFARE_PEER_SECRET: secret, ...env },
  });
  let complaint = '';
  child.stderr.on('data', (bytes) => (complaint = `${complaint}${bytes}`.slice(-COMPLAINT_MAX)));
  child.stdout.resume();
  const gone = new Promise((resolve) => {
    child.on('error', (failure) => fail(failure.message));
    child.on('close', (code, ended) => {
      resolve();
      if (!stopping) fail(`${command} ended early (${ended ?? code}): ${complaint}`);
    });
  });
  children.push({ child, signal, gone });
  return child;
}

async function stop() {
  if (stopping) return;
  stopping = true;
  for (const { child, signal, gone } of children.toReversed()) {
    child.kill(signal);
    const impatient = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
    await gone;
    clearTimeout(impatient);
  }
  rmSync(folder, { recursive: true, force: true });
  process.exit();
}

function fail(reason) {
  console.error(`start.mjs ${name}: ${reason}`);
  process.exitCode = 1;
  stop();
}

function binary(command, version) {
  const path = join(tools, `${command}-${version}`, command);
  if (!existsSync(path)) throw new Error(`${command} ${version} is not installed: run make bench-peers`);
  return path;
}

// A file that is still being written is not there yet.
function parsed(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

async function until(condition) {
  for (;;) {
    const met = await condition();
    if (met || stopping) return met;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
