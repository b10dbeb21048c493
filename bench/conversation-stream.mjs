// Deltas as fast as they come through the real path: codex's connection (`ws` over a unix socket) → Conversation →
// journal → one SSE subscriber; what a heartbeat would see meanwhile; and bare `ws` + JSON.parse + batched append.
import { mkdtemp, open, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { here, nowUs, startChild } from './lib.mjs';

const lib = process.env.BENCH_LIB ?? new URL('../lib', import.meta.url).pathname;
const { openJournal } = await import(`${lib}/journal/open-journal.js`);
const { openLedger } = await import(`${lib}/task-folder/ledger.js`);
const { openWorkflowLink } = await import(`${lib}/session/conversation/workflow-link.js`);
const { Conversation } = await import(`${lib}/session/conversation/conversation.js`);
const { streamEvents } = await import(`${lib}/listener/event-stream.js`);
const { connectRpc } = await import(`${lib}/codex/rpc.js`);
const { readModels } = await import(`${lib}/codex/models.js`);

const HOUR_MS = 3_600_000;
const log = { warn() {}, error: console.error, info() {}, debug() {} };

async function withCodex(use) {
  const folder = await mkdtemp(join(process.env.BENCH_TMP ?? tmpdir(), 'codex-task-bench-'));
  const socketPath = join(folder, 's');
  const codex = startChild([process.execPath, here('delta-codex.mjs'), socketPath]);
  try {
    await codex.wait('listening');
    return await use({ folder, socketPath, codex });
  } finally {
    await codex.quit();
    await rm(folder, { recursive: true });
  }
}

/** Events per second, and the lateness of a 5 ms timer and of one of 1 s while they came. */
export const conversationStream = (stream) =>
  withCodex(async ({ folder, socketPath, codex }) => {
    const journal = await openJournal(join(folder, 'journal'));
    const ledger = await openLedger(join(folder, 'ledger.jsonl'));
    const server = createServer((_request, response) => streamEvents(response, journal, 0));
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    let conversation;
    const rpc = await connectRpc(socketPath, {
      onNotification: (method, params, raw) => conversation.onNotification(method, params, raw),
      onRequest() {},
    });
    const link = openWorkflowLink(
      async () => 'sent',
      log,
      () => {},
    );
    conversation = new Conversation({
      ...{ codex: rpc, journal, ledger, link, incarnation: 1, mode: 'conversation' },
      ...{ threadId: 'thr_0190bench', workDir: folder, models: readModels(null), model: null },
      ...{ effort: null, wantedEffort: null, rules: [], turnMs: HOUR_MS, idleMs: HOUR_MS },
    });
    conversation.takeUp('turn_0190bench', []);
    const last = stream.deltas + 2 * stream.messages;
    codex.send({ cmd: 'subscribe', url: `http://127.0.0.1:${server.address().port}/`, last });
    await codex.wait('subscribed');
    const [fine, beat] = [lateness(5), lateness(1_000)];
    codex.send({ cmd: 'go', stream });
    const { startedUs } = await codex.wait('sent');
    const { arrivedUs, wrong } = await codex.wait('arrived');
    const [fineMs, beatMs] = [fine(), beat()];
    if (wrong > 0) throw new Error(`${wrong} events were missing or out of order`);
    conversation.fail('CodexFailed', 'the bench is over');
    rpc.close();
    link.close();
    server.closeAllConnections();
    server.close();
    await journal.close();
    await ledger.close();
    const seconds = (arrivedUs - startedUs) / 1e6;
    return { perS: last / seconds, seconds, fineMs, beatMs };
  });

/** The same stream with nothing but the connection, the parser and a file. */
export const bareStream = (stream) =>
  withCodex(async ({ folder, socketPath, codex }) => {
    const file = await open(join(folder, 'bare'), 'a');
    const last = stream.deltas + 2 * stream.messages;
    let [count, waiting, writing] = [0, [], false];
    let done;
    const arrived = new Promise((resolve) => (done = resolve));
    const flush = async () => {
      writing = true;
      while (waiting.length > 0) await file.appendFile(waiting.splice(0).join(''));
      writing = false;
      if (count === last) done(nowUs());
    };
    const socket = new WebSocket('ws://localhost/', {
      createConnection: () => createConnection(socketPath),
      perMessageDeflate: false,
    });
    socket.on('message', (data) => {
      const raw = data.toString();
      JSON.parse(raw);
      waiting.push(`id: ${++count}\ndata: ${raw}\n\n`);
      if (!writing) {
        writing = true;
        setImmediate(flush);
      }
    });
    await new Promise((resolve) => socket.once('open', resolve));
    codex.send({ cmd: 'go', stream });
    const { startedUs } = await codex.wait('sent');
    const seconds = ((await arrived) - startedUs) / 1e6;
    socket.terminate();
    await file.close();
    return { perS: last / seconds };
  });

/** Starts an interval; the returned function ends it and gives how late it was at worst, in milliseconds. */
function lateness(everyMs) {
  let worst = 0;
  let due = performance.now() + everyMs;
  const look = () => {
    const now = performance.now();
    worst = Math.max(worst, now - due);
    due = now + everyMs;
  };
  const timer = setInterval(look, everyMs);
  return () => {
    clearInterval(timer);
    // One that is overdue now counts too.
    return Math.max(worst, performance.now() - due);
  };
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const many = { deltas: 100_000, messages: 100 };
  console.log('bare', await bareStream(many));
  console.log('many', await conversationStream(many));
  console.log('one ', await conversationStream({ deltas: 100_000, messages: 1 }));
  console.log('long', await conversationStream({ deltas: 1_000_000, messages: 1_000 }));
}
