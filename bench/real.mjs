// On real parts: how long a decision takes, what it costs in history, how long a launch takes beyond codex itself,
// and how long subscribers wait after the worker was killed.
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { stringify } from 'smol-toml';
import { median, percentile } from './lib.mjs';
import { startRealStack, until } from './real-stack.mjs';

const lib = process.env.BENCH_LIB ?? new URL('../lib', import.meta.url).pathname;
const { assistantMessage, commandCall, outputsOfTurn, modelProvider } = await import(
  `${lib}/dev/model-server.js`
);
const { findCodex } = await import(`${lib}/codex/binary.js`);
const { launchAppServer } = await import(`${lib}/codex/launch.js`);
const { connectRpc } = await import(`${lib}/codex/rpc.js`);
const { childEnvironment } = await import(`${lib}/codex/child-environment.js`);
const { stopProcess } = await import(`${lib}/process/stop-process.js`);

const DECISIONS = 100;
const LATER_MS = 150;
const LAUNCHES = 3;
const CALL = { timeoutMs: 30_000 };

/** Asks for `count` commands outside the sandbox, one after another. */
const asks = (count) => (request) => {
  const { length } = outputsOfTurn(request);
  return length < count
    ? [commandCall(`echo ${length}`, { escalated: true, justification: 'the bench asks' })]
    : [assistantMessage('done')];
};

export async function realParts() {
  const stack = await startRealStack();
  try {
    const codex = await codexAlone(stack);
    const launch = await launches(stack);
    const decisions = await decide(stack);
    const whole = await wholeTurn(stack);
    const killed = await workerKilled(stack);
    return {
      codexMs: codex.turnMs,
      codexReadyMs: codex.readyMs,
      launchMs: launch,
      beyondMs: launch - codex.turnMs,
      ...decisions,
      ...whole,
      ...killed,
    };
  } finally {
    await stack.close();
  }
}

/** Medians from codex's spawn to its thread and to its first request to the model, nothing of ours around it. */
async function codexAlone(stack) {
  stack.play(() => [assistantMessage('done')]);
  const { path: binary } = await findCodex(process.env);
  const times = [];
  for (let i = 0; i < LAUNCHES; i++) {
    const folder = await mkdtemp(join(process.env.BENCH_TMP ?? tmpdir(), 'codex-task-bench-'));
    const [home, codexHome] = [folder, join(folder, '.codex')];
    const socketPath = join(folder, 's');
    await mkdir(codexHome);
    await writeFile(join(codexHome, 'config.toml'), stringify(modelProvider(stack.model.url)));
    const env = childEnvironment({ workerEnv: process.env, home, codexHome });
    const seen = stack.model.requests.length;
    const start = Date.now();
    const logFile = join(folder, 'log');
    const server = await launchAppServer({ binary, workDir: folder, socketPath, env, logFile });
    try {
      const rpc = await connectRpc(socketPath, { onNotification() {}, onRequest() {} });
      await rpc.call('initialize', { clientInfo: { name: 'bench', version: '0' } }, CALL);
      rpc.notify('initialized');
      const { thread } = await rpc.call('thread/start', { cwd: folder }, CALL);
      const readyMs = Date.now() - start;
      await rpc.call('turn/start', { threadId: thread.id, input: [{ type: 'text', text: 'hi' }] }, CALL);
      const request = await until('a request', () => stack.model.requests[seen], 2);
      times.push({ readyMs, turnMs: request.at - start });
      rpc.close();
    } finally {
      await stopProcess(server, { codexHome, socketPath });
      await rm(folder, { recursive: true, force: true });
    }
  }
  return {
    readyMs: median(times.map(({ readyMs }) => readyMs)),
    turnMs: median(times.map(({ turnMs }) => turnMs)),
  };
}

/** Median from the workflow's start to codex's first request to the model. */
async function launches(stack) {
  stack.play(() => [assistantMessage('done')]);
  const times = [];
  for (let i = 0; i < LAUNCHES; i++) {
    const seen = stack.model.requests.length;
    const task = await stack.start(`launch-${i}`, { prompt: 'hi' });
    const request = await until('a request', () => stack.model.requests[seen], 2);
    times.push(request.at - task.startedAt);
    await task.result();
  }
  return median(times);
}

/**
 * From the POST to the event that says codex has the answer, each second one 150 ms after its request as a person
 * would, the others at once.
 */
async function decide(stack) {
  stack.play(asks(DECISIONS));
  const task = await stack.start('decisions', { prompt: 'ask me', mode: 'conversation' });
  const sentAt = new Map();
  const [later, atOnce] = [[], []];
  let first = null;
  let place = null;
  for await (const { event } of task.events()) {
    if (event.method === 'item/commandExecution/requestApproval') {
      place ??= await task.listener();
      first ??= await stack.history(task.taskId);
      const isLater = sentAt.size % 2 === 0;
      if (isLater) await pause(LATER_MS);
      sentAt.set(String(event.id), { at: performance.now(), times: isLater ? later : atOnce });
      void post(place, event.id);
    }
    if (event.type === 'x-optio-permission-answered') {
      const { at, times } = sentAt.get(String(event.request_id));
      times.push(performance.now() - at);
    }
    if (event.method === 'turn/completed') break;
  }
  const all = await stack.history(task.taskId);
  await task.close();
  await task.result();
  const answered = later.length + atOnce.length;
  if (answered !== DECISIONS) throw new Error(`${answered} decisions of ${DECISIONS} were answered`);
  return {
    decisionP50: percentile(later, 50),
    decisionP99: percentile(later, 99),
    atOnceP50: percentile(atOnce, 50),
    atOnceP99: percentile(atOnce, 99),
    perPermission: (all.length - first.length) / DECISIONS,
  };
}

async function post({ url, password }, requestId) {
  const answer = await fetch(`${url}/permission`, {
    method: 'POST',
    headers: { authorization: `Bearer ${password}` },
    body: JSON.stringify({ request_id: requestId, behavior: 'allow' }),
  });
  if (!answer.ok) throw new Error(`/permission answered ${answer.status}`);
}

/** History of a task with one turn and one permission, and of a second turn like it, by kind of event. */
async function wholeTurn(stack) {
  stack.play(asks(1));
  const task = await stack.start('whole', { prompt: 'ask me once', mode: 'conversation' });
  const idle = (turns) =>
    until('an idle task', async () => {
      const status = await task.status().catch(() => null);
      return status?.turns === turns && status.state === 'idle';
    });
  let turns = 0;
  let first = [];
  for await (const { event } of task.events()) {
    if (event.method === 'item/commandExecution/requestApproval') await post(await task.listener(), event.id);
    if (event.method !== 'turn/completed') continue;
    await idle(++turns);
    if (turns === 2) break;
    first = await stack.history(task.taskId);
    await task.sendMessage('once more');
  }
  const second = await stack.history(task.taskId);
  await task.close();
  await task.result();
  const turn = second.slice(first.length);
  return {
    perTurn: turn.length,
    perTask: first.length + (await stack.history(task.taskId)).length - second.length,
    turnKinds: kindsOf(turn),
    taskKinds: kindsOf(first),
  };
}

const kindsOf = (kinds) => {
  const counts = {};
  for (const kind of kinds) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
};

/**
 * Kills the worker under a turn that says a word each 25 ms. Until the subscriber has events of the next one, with
 * the pauses between its own attempts, and until the listener answers one who asks each 10 ms.
 */
async function workerKilled(stack) {
  const one = async function* () {
    await pause(25);
    yield 'word';
  };
  stack.play(() => Array.from({ length: 1_000 }, () => ({ step: 'stream', pieces: one() })));
  const task = await stack.start('killed', { prompt: 'talk', mode: 'conversation' });
  const killed = await stack.workerPid();
  const place = await until('the listener', () => task.listener().catch(() => null));
  let next = null;
  let served = null;
  let killedAt = 0;
  let seen = 0;
  for await (const _ of task.events()) {
    if (++seen === 60) {
      killedAt = performance.now();
      process.kill(killed, 'SIGKILL');
      void until(
        'another worker',
        async () => {
          const pid = await stack.workerPid();
          return pid !== undefined && pid !== killed && (next = pid);
        },
        5,
      ).catch(() => {});
      served = until('the listener again', () => next !== null && answers(place), 10);
    }
    if (next !== null) break;
  }
  const fromKillMs = performance.now() - killedAt;
  const uptime = Number((await readFile('/proc/uptime', 'utf8')).split(' ')[0]);
  const fromStart = (uptime - (await startOf(next))) * 1000;
  const servedAt = await served;
  await task.cancel();
  await task.result().catch(() => {});
  const started = killedAt + fromKillMs - fromStart;
  return { fromKillMs, fromStartMs: fromStart, servedMs: servedAt - started };
}

/** When, if the task's stream can be had now. */
async function answers({ url, password }) {
  const leave = new AbortController();
  const headers = { authorization: `Bearer ${password}`, 'last-event-id': '1' };
  const answer = await fetch(`${url}/events`, { headers, signal: leave.signal }).catch(() => null);
  const at = answer?.ok ? performance.now() : null;
  leave.abort();
  return at;
}

/** Seconds from the boot to the start of a process. */
async function startOf(pid) {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // Field 22, in hundredths of a second.
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]) / 100;
}

if (process.argv[1] === new URL(import.meta.url).pathname) console.log(await realParts());
