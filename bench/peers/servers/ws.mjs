// A plain WebSocket broadcaster, as one writes it over `ws` when speed counts:
// the frame of a message is made once and handed to every member's TCP socket.
// With --coalesce, all that a room gets in one turn of the event loop becomes
// one write per member. In comes `{"join":[rooms…]}`, answered `{"joined":k}`,
// and `{"room":r,…}`, which every member of r gets byte for byte. It never
// stores, numbers, or asks who somebody is.
import { Sender, WebSocket, WebSocketServer } from 'ws';
import { ready } from './ready.mjs';

const coalesce = process.argv.includes('--coalesce');
const WAITING_BYTES_MAX = 64 * 1024 * 1024; // a reader that is further behind is cut, as nats-server does
const FRAME = { fin: true, rsv1: false, opcode: 1, mask: false, readOnly: false };

const rooms = new Map(); // number → { members: Set of WebSocket, waiting: frames of this turn }
const dirty = new Set(); // rooms with frames waiting

function room(number) {
  let found = rooms.get(number);
  if (!found) rooms.set(number, (found = { members: new Set(), waiting: [] }));
  return found;
}

function write({ members }, bytes) {
  for (const member of members) {
    const tcp = member._socket;
    if (member.readyState !== WebSocket.OPEN) continue;
    if (tcp.writableLength > WAITING_BYTES_MAX) member.terminate();
    else tcp.write(bytes);
  }
}

function flush() {
  for (const place of dirty) {
    write(place, place.waiting.length === 1 ? place.waiting[0] : Buffer.concat(place.waiting));
    place.waiting = [];
  }
  dirty.clear();
}

function broadcast(place, message) {
  const frame = Buffer.concat(Sender.frame(message, FRAME));
  if (!coalesce) return write(place, frame);
  place.waiting.push(frame);
  if (dirty.size === 0) setImmediate(flush);
  dirty.add(place);
}

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: 0,
  backlog: 4096,
  perMessageDeflate: false,
  clientTracking: false,
  skipUTF8Validation: true,
  maxPayload: 64 * 1024,
});
server.on('connection', (socket) => {
  const joined = new Set();
  socket.on('message', (message) => {
    const { room: number, join } = JSON.parse(message);
    if (number !== undefined) return broadcast(room(number), message);
    for (const place of join.map(room)) {
      joined.add(place);
      place.members.add(socket);
    }
    socket.send(JSON.stringify({ joined: joined.size }));
  });
  socket.on('error', () => socket.terminate());
  socket.on('close', () => {
    for (const place of joined) place.members.delete(socket);
  });
});
server.on('listening', () => ready(server.address().port));
