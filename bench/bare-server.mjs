// What Node alone can do: no journal, no routes, no slow readers; one prepared chunk straight to each socket, up
// to 64 frames in one. The same messages as the server under test.
import { createServer } from 'node:http';
import { emitter, onCommands, say } from './lib.mjs';

const sockets = new Set();
const kept = [];
let waiting = [];
let id = 0;

const server = createServer((request, response) => {
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
  response.flushHeaders();
  if (request.headers['last-event-id'] !== undefined) response.write(Buffer.concat(kept));
  sockets.add(response.socket);
  response.on('close', () => sockets.delete(request.socket));
});
server.listen(0, '127.0.0.1', () =>
  say({ url: `http://127.0.0.1:${server.address().port}`, events_path: '/events' }),
);

function flush() {
  while (waiting.length > 0) {
    const frames = waiting.splice(0, 64).join('');
    const chunk = Buffer.from(`${Buffer.byteLength(frames).toString(16)}\r\n${frames}\r\n`);
    for (const socket of sockets) socket.write(chunk);
  }
}

await onCommands({
  emit: emitter((json) => {
    const frame = `id: ${++id}\ndata: ${json}\n\n`;
    waiting.push(frame);
    if (kept.push(Buffer.from(frame)) > 1_000) kept.shift();
    // As many events at once as the emitter makes in a few turns of the loop.
    if (waiting.length >= 64) flush();
    else if (waiting.length === 1) setTimeout(flush, 1);
  }),
});
server.close();
server.closeAllConnections();
