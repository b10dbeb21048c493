// Ready notifications through the journal to one subscriber over HTTP: everything between codex's connection and
// a client but the conversation.
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const lib = process.env.BENCH_LIB ?? new URL('../lib', import.meta.url).pathname;
const { openJournal } = await import(`${lib}/journal/open-journal.js`);
const { streamEvents } = await import(`${lib}/listener/event-stream.js`);

const EVENTS = 200_000;
/** As many as one read of codex's socket brings. */
const PER_TURN = 500;

export async function ingest() {
  const folder = await mkdtemp(join(process.env.BENCH_TMP ?? tmpdir(), 'codex-task-bench-'));
  const journal = await openJournal(folder);
  const server = createServer((_request, response) => streamEvents(response, journal, 0));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const event = `{"method":"item/agentMessage/delta","params":{"threadId":"thr_0190bench","turnId":"turn_0190bench","itemId":"msg_000001","delta":"lorem ipsum dolor sit am"}}`;
  const last = Buffer.from(`id: ${EVENTS}\n`);
  const start = performance.now();
  const arrived = new Promise((resolve) => {
    get({ port: server.address().port, host: '127.0.0.1' }, (response) => {
      response.on('data', (bytes) => bytes.includes(last) && (response.destroy(), resolve()));
    });
  });
  for (let i = 0; i < EVENTS; i += PER_TURN) {
    for (let j = 0; j < PER_TURN; j++) journal.append(event);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await arrived;
  const seconds = (performance.now() - start) / 1000;
  server.closeAllConnections();
  server.close();
  await journal.close();
  await rm(folder, { recursive: true });
  return { perS: EVENTS / seconds };
}

if (process.argv[1] === new URL(import.meta.url).pathname) console.log(await ingest());
