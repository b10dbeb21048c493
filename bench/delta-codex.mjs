// A fake app-server that streams: on `{"go":{deltas,messages}}` from stdin it sends so many deltas of so many
// messages to the one connection on its unix socket as fast as that takes them, whole frames made beforehand so
// that it is never the slow side. As the SSE client of `url` it says when the last event arrived, and checks all ids.
import { createServer, get } from 'node:http';
import { WebSocketServer } from 'ws';
import { nowUs, onCommands, say } from './lib.mjs';

const [socketPath] = process.argv.slice(2);
const PER_WRITE = 500;
const at = { threadId: 'thr_0190bench', turnId: 'turn_0190bench' };

const server = createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
const connected = new Promise((resolve) =>
  sockets.once('connection', (_ws, request) => resolve(request.socket)),
);
server.listen(socketPath, () => say({ listening: true }));

/** One unmasked text frame. */
function frame(method, params) {
  const text = Buffer.from(JSON.stringify({ method, params: { ...at, ...params } }));
  if (text.length < 126) return Buffer.concat([Buffer.from([0x81, text.length]), text]);
  const head = Buffer.alloc(text.length < 65_536 ? 4 : 10);
  head[0] = 0x81;
  head[1] = head.length === 4 ? 126 : 127;
  if (head.length === 4) head.writeUInt16BE(text.length, 2);
  else head.writeBigUInt64BE(BigInt(text.length), 2);
  return Buffer.concat([head, text]);
}

async function stream({ deltas, messages }) {
  const socket = await connected;
  const each = deltas / messages;
  const write = (bytes) =>
    socket.write(bytes) ? undefined : new Promise((resolve) => socket.once('drain', resolve));
  const startedUs = nowUs();
  for (let m = 0; m < messages; m++) {
    const id = `msg_${String(m).padStart(6, '0')}`;
    const item = { type: 'agentMessage', id, text: '' };
    await write(frame('item/started', { item, startedAtMs: 0 }));
    const one = frame('item/agentMessage/delta', { itemId: id, delta: 'lorem ipsum dolor sit am' });
    const many = Buffer.alloc(one.length * PER_WRITE, one);
    for (let left = each; left > 0; left -= PER_WRITE)
      await write(left >= PER_WRITE ? many : many.subarray(0, one.length * left));
    const text = 'lorem ipsum dolor sit am'.repeat(each);
    await write(frame('item/completed', { item: { ...item, text }, completedAtMs: 0 }));
  }
  say({ sent: true, startedUs });
}

/** Reads events to the one with id `last`. */
function subscribe({ url, last }) {
  const chunks = [];
  const mark = Buffer.from(`id: ${last}\n`);
  get(url, (response) => {
    say({ subscribed: true });
    let tail = Buffer.alloc(0);
    response.on('data', (bytes) => {
      chunks.push(bytes);
      const seam = Buffer.concat([tail, bytes.subarray(0, mark.length)]);
      tail = bytes.subarray(-mark.length);
      if (!bytes.includes(mark) && !seam.includes(mark)) return;
      const arrivedUs = nowUs();
      response.destroy();
      const ids = Buffer.concat(chunks)
        .toString()
        .match(/^id: \d+$/gm);
      const wrong = ids.filter((id, i) => id !== `id: ${i + 1}`).length + Math.abs(last - ids.length);
      say({ arrived: true, arrivedUs, wrong });
    });
    response.on('error', () => {});
  });
}

await onCommands({ go: ({ stream: what }) => void stream(what), subscribe });
process.exit(0);
