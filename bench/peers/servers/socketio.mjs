// A Socket.IO server as a chat back end has it: who connects shows a signed
// token, rooms are Socket.IO's own. `join` [rooms…] is acknowledged; `say` room
// text becomes `said` room text for its members. With --store a message is
// inserted into PostgreSQL first, the room gets its number too, and its author
// an acknowledgement, as in most chat back ends; without, nothing is kept.
import { createServer } from 'node:http';
import jwt from 'jsonwebtoken';
import pg from 'pg';
import { Server } from 'socket.io';
import { ready } from './ready.mjs';

const secret = process.env.FANFARE_PEER_SECRET;
const store = process.argv.includes('--store');

const http = createServer();
const io = new Server(http, {
  transports: ['websocket'],
  allowUpgrades: false,
  perMessageDeflate: false,
  httpCompression: false,
  serveClient: false,
  maxHttpBufferSize: 64 * 1024,
});
// The upgrade request is needed no more once the connection stands; Socket.IO's
// page on memory says to let go of it.
io.engine.on('connection', (connection) => {
  connection.request = null;
});
io.use((socket, next) => {
  jwt.verify(socket.handshake.auth.token, secret, { algorithms: ['HS256'] }, (failure, claims) => {
    if (failure) return next(failure);
    socket.data.person = claims.sub;
    next();
  });
});

const insert = store ? await openStore() : undefined;

io.on('connection', (socket) => {
  socket.on('join', (rooms, joined) => {
    socket.join(rooms);
    joined(rooms.length);
  });
  socket.on('say', insert ? sayStored : (room, text) => io.to(room).emit('said', room, text));

  async function sayStored(room, text, said) {
    const id = await insert(room, socket.data.person, text);
    io.to(room).emit('said', room, text, id);
    said(id);
  }
});
http.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => ready(http.address().port));

// One table, one row a message; a statement prepared once per connection.
async function openStore() {
  const pool = new pg.Pool({ host: process.env.PGHOST, user: process.env.PGUSER, database: 'postgres', max: 10 });
  await pool.query(`CREATE TABLE messages (
    id bigserial PRIMARY KEY, room bigint NOT NULL, person text NOT NULL, text text NOT NULL,
    at timestamptz NOT NULL DEFAULT now())`);
  await pool.query('CREATE INDEX messages_by_room ON messages (room, id)');
  const text = 'INSERT INTO messages (room, person, text) VALUES ($1, $2, $3) RETURNING id';
  return async (...values) => Number((await pool.query({ name: 'insert', text, values })).rows[0].id);
}
