// The listener of this package with one task whose events the driver asks for: real files, real HTTP, no codex.
// Messages as in the comparison harness (README.md).
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emitter, onCommands, say } from './lib.mjs';

const lib = process.env.BENCH_LIB ?? new URL('../lib', import.meta.url).pathname;
const { createApp } = await import(`${lib}/listener/app.js`);
const { listen } = await import(`${lib}/listener/listen.js`);
const { openJournal } = await import(`${lib}/journal/open-journal.js`);
const { taskPassword } = await import(`${lib}/listener-secret.js`);

const folder = await mkdtemp(join(process.env.BENCH_TMP ?? tmpdir(), 'codex-task-bench-'));
const journal = await openJournal(join(folder, 'journal'));
const task = { is: 'live', mounted: true, session: { closed: false }, prepared: { journal } };
const host = {
  config: {
    corsOrigins: [],
    listen: { host: '127.0.0.1', port: 0 },
    publicUrl: null,
    payloadKeys: { writes: null, reads: [] },
  },
  tasks: { find: () => task, all: () => [task], size: 1 },
  ended: { has: () => false, open: () => Promise.resolve(null) },
  log: { warn() {}, error: console.error },
};
const secret = 's'.repeat(32);
const listening = await listen(createApp({ host, secret, notReady: () => null }), {
  host: '127.0.0.1',
  port: 0,
});
say({
  url: `http://127.0.0.1:${listening.port}/tasks/bench`,
  user: 'optio',
  password: taskPassword(secret, 'bench'),
  events_path: '/events',
});
await onCommands({ emit: emitter((json) => journal.append(json)) });
await listening.close();
await journal.close();
await rm(folder, { recursive: true });
