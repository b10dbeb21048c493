// Shared by the benches: a server under test as a child process that talks JSON lines, figures of /proc, tables.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const here = (name) => fileURLToPath(new URL(name, import.meta.url));
export const nowUs = () => Number(process.hrtime.bigint() / 1000n);
export const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
export const percentile = (values, p) =>
  Float64Array.from(values).sort()[Math.max(0, Math.ceil((p / 100) * values.length) - 1)];

/** Starts `argv`; `wait(key)` gives its next message that has this key. */
export function startChild(argv) {
  const child = spawn(argv[0], argv.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
  const seen = [];
  const waiting = [];
  const ended = new Promise((resolve) => child.once('exit', resolve));
  createInterface({ input: child.stdout }).on('line', (line) => {
    const message = JSON.parse(line);
    const at = waiting.findIndex(({ key }) => key in message);
    if (at >= 0) waiting.splice(at, 1)[0].resolve(message);
    else seen.push(message);
  });
  void ended.then((code) => {
    for (const { reject, key } of waiting)
      reject(new Error(`${argv.join(' ')} ended (${code}) before ${key}`));
  });
  return {
    pid: child.pid,
    send: (message) => child.stdin.write(`${JSON.stringify(message)}\n`),
    wait(key) {
      const at = seen.findIndex((message) => key in message);
      if (at >= 0) return Promise.resolve(seen.splice(at, 1)[0]);
      return new Promise((resolve, reject) => waiting.push({ key, resolve, reject }));
    },
    cpuSeconds: () => cpuSeconds(child.pid),
    memoryMb: () => memoryMb(child.pid),
    async quit() {
      child.stdin.end(`${JSON.stringify({ cmd: 'quit' })}\n`);
      const late = setTimeout(() => child.kill('SIGKILL'), 5_000);
      await ended;
      clearTimeout(late);
    },
  };
}

function cpuSeconds(pid) {
  const tasks = readdirSync(`/proc/${pid}/task`);
  const nanoseconds = (task) =>
    Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
  return tasks.reduce((sum, task) => sum + nanoseconds(task), 0) / 1e9;
}

function memoryMb(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kilobytes = (key) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(status)[1]);
  return { now: kilobytes('VmRSS') / 1024, peak: kilobytes('VmHWM') / 1024 };
}

/** Commands from stdin until `quit` or its end. */
export async function onCommands(handlers) {
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    if (command.cmd === 'quit') return;
    void handlers[command.cmd](command);
  }
}

export const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

/** `n` events of `size` bytes, as fast as the loop turns or at a rate; `fire` takes one line of JSON. */
export function emitter(fire) {
  let counter = 0;
  return async ({ n, size, rate = 0, burst = 1 }) => {
    const start = nowUs();
    for (let i = 0; i < n; i++) {
      if (rate) {
        const ahead = start + (i * 1e6) / rate - nowUs();
        if (ahead > 0) await new Promise((resolve) => setTimeout(resolve, ahead / 1000));
      }
      fire(eventOf(counter++, size));
      if (!rate && i % burst === burst - 1) await new Promise((resolve) => setImmediate(resolve));
    }
    say({ emitted: n });
  };
}

/** Codex's most frequent notification, with when and which it is. */
function eventOf(counter, size) {
  const head = `{"method":"item/agentMessage/delta","params":{"benchTs":${nowUs()},"benchN":${counter},"threadId":"t","turnId":"u","itemId":"i","delta":"`;
  return `${head}${'x'.repeat(Math.max(0, size - head.length - 3))}"}}`;
}
