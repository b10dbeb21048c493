// A listener's stream of one journal, without the routes, that tells how much it holds for its slowest subscriber.
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emitter, onCommands, say } from './lib.mjs';

const lib = process.env.BENCH_LIB ?? new URL('../lib', import.meta.url).pathname;
const { openJournal } = await import(`${lib}/journal/open-journal.js`);
const { streamEvents } = await import(`${lib}/listener/event-stream.js`);

const folder = await mkdtemp(join(process.env.BENCH_TMP ?? tmpdir(), 'codex-task-bench-'));
const journal = await openJournal(folder);
const sockets = new Set();
let queued = 0;
const server = createServer((request, response) => {
  if (request.url === '/stalled') sockets.add(request.socket);
  streamEvents(response, journal, 0);
});
server.listen(0, '127.0.0.1', () => say({ url: `http://127.0.0.1:${server.address().port}` }));
const emit = emitter((json) => {
  journal.append(json);
  for (const { writableLength } of sockets) queued = Math.max(queued, writableLength);
});
await onCommands({ emit, queued: () => say({ queued }) });
server.close();
server.closeAllConnections();
await journal.close();
await rm(folder, { recursive: true });
