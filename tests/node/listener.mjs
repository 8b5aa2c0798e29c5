// Listens to everything its user may hear, for the system tests: writes every frame
// it receives as one line of FANFARE_OUT and comes back from its cursors whenever the
// connection breaks. Ends when its stdin does. In JSON, or in MessagePack if
// FANFARE_MSGPACK says where that package lies.
import { createWriteStream } from "node:fs";
import { createRequire } from "node:module";

// The tests say where the package lies; without that it is beside this file.
const WebSocket = createRequire(import.meta.url)(process.env.FANFARE_WS ?? "ws");

const { FANFARE_URL, FANFARE_TOKEN, FANFARE_OUT, FANFARE_MSGPACK } = process.env;
const codec = FANFARE_MSGPACK ? messagePack(FANFARE_MSGPACK) : json();
const PAUSE_MS = 100;
const out = createWriteStream(FANFARE_OUT, { flags: "a" });
const cursors = new Map();

function json() {
  return {
    subprotocol: "fanfare.v1.json",
    encode: JSON.stringify,
    decode: (bytes, isBinary) => {
      if (isBinary) throw new Error("a binary frame");
      return JSON.parse(bytes.toString("utf8"));
    },
  };
}

function messagePack(where) {
  const { encode, decode } = createRequire(import.meta.url)(where);
  return {
    subprotocol: "fanfare.v1.msgpack",
    encode,
    decode: (bytes, isBinary) => {
      if (!isBinary) throw new Error("a text frame");
      return read(decode(bytes, { rawStrings: true }));
    },
  };
}

// The package's own reader of longer texts takes a byte order mark for none of
// the text.
function read(value) {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("utf8");
  if (Array.isArray(value)) return value.map(read);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, read(field)]));
}

function place(data) {
  for (const { conversation, epoch, seq } of [...(data.subscribed ?? []), ...(data.resync ?? [])]) {
    cursors.set(conversation, { epoch, seq });
  }
  for (const { conversation } of data.gone ?? []) cursors.delete(conversation);
}

function take(frame) {
  if (frame.error) {
    console.error("refused:", JSON.stringify(frame));
    process.exit(1);
  }
  if (frame.re !== undefined || frame.type === "session:resumed") place(frame.data);
  if (frame.type === "conversation:created") {
    const { epoch, seq } = frame.data.cursor;
    cursors.set(frame.conversation ?? frame.data.conversation.id, { epoch, seq });
  }
  if (frame.seq !== undefined) {
    const cursor = cursors.get(frame.conversation);
    if (!cursor || frame.seq !== cursor.seq + 1) {
      console.error("a gap:", JSON.stringify({ cursor, frame }));
    }
    cursors.set(frame.conversation, { epoch: frame.epoch, seq: frame.seq });
  }
}

function listen() {
  const socket = new WebSocket(FANFARE_URL, codec.subprotocol);
  socket.on("open", () => {
    const held = [...cursors].map(([conversation, cursor]) => ({ conversation, ...cursor }));
    const data = { token: FANFARE_TOKEN, device: { kind: "bot", name: "node" }, cursors: held };
    socket.send(codec.encode({ id: 1, type: "session:hello", data }));
  });
  socket.on("message", (bytes, isBinary) => {
    const frame = codec.decode(bytes, isBinary);
    out.write(`${JSON.stringify(frame)}\n`);
    take(frame);
  });
  socket.on("error", (error) => console.error(error.message));
  socket.on("close", () => setTimeout(listen, PAUSE_MS));
}

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
listen();
