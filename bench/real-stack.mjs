// A whole stack as `codex-task dev --ephemeral` starts it, with real Temporal, MongoDB and codex and a scripted model.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

const lib = process.env.BENCH_LIB ?? new URL('../lib', import.meta.url).pathname;
const { connectTemporal, createTaskClient } = await import(`${lib}/client/index.js`);
const { startModelServer, modelProvider } = await import(`${lib}/dev/model-server.js`);
const { readListenerSecret } = await import(`${lib}/listener-secret.js`);
const { openStore } = await import(`${lib}/store/open-store.js`);
const { insertSeed } = await import(`${lib}/store/seeds.js`);

const AUTH = Buffer.from(JSON.stringify({ OPENAI_API_KEY: 'sk-bench-of-no-value' }));

/** Asks until the answer is truthy. */
export async function until(what, ask, everyMs = 20, timeoutMs = 30_000) {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (performance.now() > deadline) throw new Error(`Not within ${timeoutMs} ms: ${what}`);
    await pause(everyMs);
  }
}

const ATTRIBUTES = 'EventAttributes';

/** A history event by its attributes' name, with the name of its signal or activity. */
function kindOf(event) {
  const [name, fields] = Object.entries(event).find(([key, value]) => value && key.endsWith(ATTRIBUTES));
  const what = fields.signalName ?? fields.activityType?.name;
  return name.slice(0, -ATTRIBUTES.length) + (what ? `:${what}` : '');
}

/** `play` sets the model's script, `start` a task on it, `workerPid` names the running worker. */
export async function startRealStack() {
  let script = () => [];
  const model = await startModelServer({ script: (request, n) => script(request, n) });
  const dev = spawn(process.execPath, [`${lib}/cli/main.js`, 'dev', '--ephemeral', '--json'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const over = once(dev, 'exit').then(() => Promise.reject(new Error('codex-task dev ended')));
  over.catch(() => {});
  const [text] = await Promise.race([once(createInterface(dev.stdout), 'line'), over]);
  const line = JSON.parse(text);
  const temporal = await connectTemporal({ ...process.env, ...line.env });
  const store = await openStore({ uri: line.mongodbUri, prefix: 'optio' });
  const listenerSecret = await readListenerSecret(line.dataDir);
  const client = createTaskClient({ client: temporal.client, taskQueue: 'codex-tasks', listenerSecret });
  return {
    line,
    model,
    play: (next) => (script = next),
    async start(taskId, input) {
      await insertSeed(store, { authJson: AUTH, pool: taskId });
      const startedAt = Date.now();
      const codexConfig = modelProvider(model.url);
      await client.start(taskId, { credential: { pool: taskId }, codexConfig, ...input });
      return Object.assign(client.handle(taskId), { startedAt });
    },
    /** The kinds of the events in the workflow's history so far. */
    async history(taskId) {
      const { events } = await temporal.client.workflow.getHandle(taskId).fetchHistory();
      return events.map(kindOf);
    },
    async workerPid() {
      const record = await readFile(join(line.dataDir, 'dev', 'worker.pid'), 'utf8').catch(() => '{}');
      return JSON.parse(record).pid;
    },
    async close() {
      await store.close();
      await temporal.close();
      const gone = once(dev, 'exit');
      if (dev.exitCode === null && dev.kill('SIGTERM')) await gone;
      await model.close();
    },
  };
}
