// One task, many permission round trips: how long its history gets in each run, how a decision's way to codex keeps
// its pace, and what the worker's memory does. `node bench/long-life.mjs [rounds]`, 2,000 unless told; a turn has 100.
import { startRealStack, until } from './real-stack.mjs';
import { median, percentile } from './lib.mjs';
import { readFileSync } from 'node:fs';

const lib = process.env.BENCH_LIB ?? new URL('../lib', import.meta.url).pathname;
const { assistantMessage, commandCall, outputsOfTurn } = await import(`${lib}/dev/model-server.js`);

const ROUNDS = Number(process.argv[2] ?? 2_000);
const PER_TURN = 100;
const EVERY = Math.max(PER_TURN, Math.round(ROUNDS / 10));

const script = (request) => {
  const { length } = outputsOfTurn(request);
  return length < PER_TURN
    ? [commandCall('true', { escalated: true, justification: 'the bench asks' })]
    : [assistantMessage('done')];
};

const stack = await startRealStack();
try {
  stack.play(script);
  const task = await stack.start('long-life', { mode: 'conversation' });
  await until('a listener', () => task.listener().catch(() => null));
  const rows = [];
  const runs = new Map();
  let times = [];
  let rounds = 0;
  const begun = performance.now();
  const asked = [];
  let wake = () => {};
  void (async () => {
    for await (const { event } of task.events()) {
      if (event.method !== 'item/commandExecution/requestApproval') continue;
      asked.push(event.id);
      wake();
    }
  })();
  while (rounds < ROUNDS) {
    await task.sendMessage(`turn ${rounds}`);
    for (let i = 0; i < PER_TURN && rounds < ROUNDS; i++) {
      while (asked.length === 0) await new Promise((resolve) => (wake = resolve));
      const requestId = asked.shift();
      const at = performance.now();
      await until(
        'the decision taken',
        () => task.decide({ requestId, behavior: 'allow' }).catch(() => null),
        5,
      );
      times.push(performance.now() - at);
      rounds++;
      if (rounds % EVERY) continue;
      const { runId, historyLength, historySize } = await task.describe();
      runs.set(runId, historyLength);
      const status = readFileSync(`/proc/${await stack.workerPid()}/status`, 'utf8');
      rows.push({
        rounds,
        run: runs.size,
        'events of this run': historyLength,
        'history KB': Math.round((historySize ?? 0) / 1024),
        'decide p50 ms': Math.round(median(times)),
        'p99 ms': Math.round(percentile(times, 99)),
        'worker MB': Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)[1]) / 1024),
      });
      console.error(rows.at(-1));
      times = [];
    }
    await until('an idle task', async () => (await task.status()).state === 'idle', 50, 60_000);
  }
  const seconds = (performance.now() - begun) / 1000;
  console.table(rows);
  console.log(`${rounds} round trips in ${seconds.toFixed(0)} s, ${(await task.status()).turns} turns`);
  await task.close();
  await task.result();
} finally {
  await stack.close();
}
