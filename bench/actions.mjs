// What a task costs at Temporal: billed actions by the history, and by the server's own metric `action`, in which
// heartbeats and queries count too. Runs alone, about 5 min, most of it for the idle tasks.
import { readdir, readFile, readlink } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { startRealStack, until } from './real-stack.mjs';

const lib = process.env.BENCH_LIB ?? new URL('../lib', import.meta.url).pathname;
const { assistantMessage, commandCall, outputsOfTurn } = await import(`${lib}/dev/model-server.js`);
const { timeLimit } = await import(`${lib}/async/time-limit.js`);

const IDLE_TASKS = 5;
const IDLE_MS = Number(process.env.BENCH_IDLE_MS ?? 245_000);
const HOUR_MS = 3_600_000;

/** Kinds of history events that are billed, an activity once for each attempt. */
const BILLED = {
  workflowExecutionStarted: 'start',
  activityTaskStarted: 'activity',
  timerStarted: 'timer',
  workflowExecutionSignaled: 'signal',
  workflowExecutionUpdateAccepted: 'update',
  upsertWorkflowSearchAttributes: 'search attributes',
};

/** @param kinds names of history events, as `stack.history` gives them */
function billed(kinds) {
  const by = {};
  for (const kind of kinds) {
    const action = BILLED[kind.split(':')[0]];
    if (action) by[action] = (by[action] ?? 0) + 1;
  }
  return { actions: Object.values(by).reduce((sum, each) => sum + each, 0), by };
}

const asksOnce = (request) =>
  outputsOfTurn(request).length === 0
    ? [commandCall('true', { escalated: true, justification: 'the bench asks' })]
    : [assistantMessage('done')];

export async function actionParts() {
  const stack = await startRealStack();
  try {
    stack.play(asksOnce);
    const whole = await wholeTask(stack);
    const turns = { http: await turnBy(stack, 'http'), temporal: await turnBy(stack, 'temporal') };
    stack.play(() => [assistantMessage('done')]);
    const metrics = await metricsOf();
    const oneTurn = await measured(metrics, () => plainTask(stack));
    const idle = await idleHour(stack, metrics);
    return { whole, turns, oneTurnByMetric: oneTurn, idle };
  } finally {
    await stack.close();
  }
}

async function decideFirst(task) {
  for await (const { event } of task.events()) {
    if (event.method !== 'item/commandExecution/requestApproval') continue;
    const { url, password } = await task.listener();
    const answer = await fetch(`${url}/permission`, {
      method: 'POST',
      headers: { authorization: `Bearer ${password}` },
      body: JSON.stringify({ request_id: event.id, behavior: 'allow' }),
    });
    if (!answer.ok) throw new Error(`/permission answered ${answer.status}`);
    return;
  }
}

/** A task of one turn on a seed, with one permission over HTTP, from its start to its end. */
async function wholeTask(stack) {
  const task = await stack.start('whole', { prompt: 'ask me' });
  await decideFirst(task);
  await task.result();
  return billed(await stack.history('whole'));
}

const isIdle = (task, turns) =>
  until('an idle task', async () => {
    const status = await task.status().catch(() => null);
    return status?.state === 'idle' && status.turns >= turns;
  });

/** The second turn of a conversation, its message and its permission by this way. */
async function turnBy(stack, way) {
  const task = await stack.start(`turn-${way}`, { prompt: 'ask me', mode: 'conversation' });
  await decideFirst(task);
  await isIdle(task, 1);
  const before = (await stack.history(task.taskId)).length;
  const { url, password } = await task.listener();
  if (way === 'http') {
    const headers = { authorization: `Bearer ${password}` };
    await fetch(`${url}/send`, { method: 'POST', headers, body: JSON.stringify({ text: 'again' }) });
  } else await task.sendMessage('again');
  const request = await until('a request', async () => (await task.status()).pending[0]);
  if (way === 'http') {
    const headers = { authorization: `Bearer ${password}` };
    const body = JSON.stringify({ request_id: request.requestId, behavior: 'allow' });
    await fetch(`${url}/permission`, { method: 'POST', headers, body });
  } else await task.decide({ requestId: request.requestId, behavior: 'allow' });
  await isIdle(task, 2);
  await pause(1_000);
  const turn = (await stack.history(task.taskId)).slice(before);
  await task.close();
  await task.result();
  return { events: turn.length, ...billed(turn) };
}

async function plainTask(stack) {
  const task = await stack.start('plain', { prompt: 'hi' });
  await task.result();
}

/** Actions of one idle conversation on a seed in an hour, from several that rest for some minutes. */
async function idleHour(stack, metrics) {
  const tasks = [];
  for (let i = 0; i < IDLE_TASKS; i++)
    tasks.push(await stack.start(`idle-${i}`, { prompt: 'hi', mode: 'conversation' }));
  for (const task of tasks) await isIdle(task, 1);
  await pause(2_000);
  const actions = await measured(metrics, () => pause(IDLE_MS));
  for (const task of tasks) await task.cancel();
  return (actions / IDLE_TASKS) * (HOUR_MS / IDLE_MS);
}

async function measured(metrics, run) {
  const before = await metrics();
  await run();
  return (await metrics()) - before;
}

/** Reads the sum of the server's metric `action`; the port is one of those that the server listens on. */
async function metricsOf() {
  for (const port of await portsOfServer()) {
    const url = `http://127.0.0.1:${port}/metrics`;
    const read = async () => {
      const text = await fetch(url, { signal: timeLimit(5_000) }).then((answer) => answer.text());
      const lines = text.split('\n').filter((line) => /^action(_total)?\{/.test(line));
      return lines.length > 0 ? lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0) : null;
    };
    if ((await read().catch(() => null)) !== null) return read;
  }
  throw new Error('the Temporal server shows no metric `action`');
}

async function portsOfServer() {
  const ports = new Map();
  for (const line of (await readFile('/proc/net/tcp', 'utf8')).split('\n').slice(1)) {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    if (state === '0A') ports.set(inode, Number.parseInt(local.split(':')[1], 16));
  }
  const found = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (!command.includes('\0server\0start-dev\0') || !(await isBelow(Number(pid), process.pid))) continue;
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      const socket = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '');
      const port = ports.get(/^socket:\[(\d+)\]$/.exec(socket)?.[1]);
      if (port !== undefined) found.push(port);
    }
  }
  return found;
}

async function isBelow(pid, ancestor) {
  for (let at = pid; at > 1;) {
    if (at === ancestor) return true;
    const stat = await readFile(`/proc/${at}/stat`, 'latin1').catch(() => '');
    at = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  }
  return false;
}

if (process.argv[1] === new URL(import.meta.url).pathname)
  console.log(JSON.stringify(await actionParts(), null, 2));
