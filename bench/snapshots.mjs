// Archive, restore and checkpoint of a workdir. As a child (`node snapshots.mjs archive DIR FILE`, …) one step in a
// process of its own, so that its memory is its own; imported, all of them, and the Python package's in the same run.
import { spawn } from 'node:child_process';
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { closeSync } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { here, median, onCommands, say, startChild } from './lib.mjs';

const lib = process.env.BENCH_LIB ?? new URL('../lib', import.meta.url).pathname;
const SHAPES = { small: { files: 2_000, bytes: 20_000 }, big: { files: 1, bytes: 200_000_000 } };
const megabytesOf = ({ files, bytes }) => (files * bytes) / 1e6;

/** Hex text of a seeded generator, as in the comparison harness. */
function createText() {
  let x = 0x9e3779b9 >>> 0;
  return (length) => {
    const bytes = Buffer.allocUnsafe(length >> 1);
    for (let i = 0; i + 4 <= bytes.length; i += 4) {
      x ^= x << 13;
      x >>>= 0;
      x ^= x >>> 17;
      x ^= x << 5;
      x >>>= 0;
      bytes.writeUInt32LE(x, i);
    }
    return Buffer.from(bytes.toString('hex'), 'latin1');
  };
}

function fill(work, { files, bytes }) {
  const text = createText();
  for (let i = 0; i < files; i++) {
    const folder = join(work, `dir${i % 40}`);
    mkdirSync(folder, { recursive: true });
    if (bytes < 1e6) writeFileSync(join(folder, `file${i}.txt`), text(bytes));
    else {
      const file = openSync(join(folder, 'big.bin'), 'w');
      for (let at = 0; at < bytes; at += 1e6) writeSync(file, text(1e6));
      closeSync(file);
    }
  }
}

async function taskIn(dataDir) {
  const { taskFolder } = await import(`${lib}/task-folder/task-folder.js`);
  const folder = taskFolder(dataDir, 'bench');
  for (const path of [folder.work, folder.codexHome]) mkdirSync(path, { recursive: true });
  return folder;
}

async function openBenchStore(uri) {
  const { openStore } = await import(`${lib}/store/open-store.js`);
  return openStore({ uri, prefix: 'bench' });
}

/** What a step does; given what it needs it returns what is measured, which may be called again. */
const steps = {
  async archive(dataDir, file) {
    const { archiveTask } = await import(`${lib}/snapshots/archive-task.js`);
    const folder = await taskIn(dataDir);
    return { run: () => pipeline(archiveTask(folder, { exclude: null }), createWriteStream(file)) };
  },
  async unpack(dataDir, file) {
    const { newUnpacking, unpackArchive, finishUnpacking } = await import(
      `${lib}/snapshots/unpack-archive.js`
    );
    const folder = await taskIn(dataDir);
    const run = async () => {
      const place = (name) => join(folder.root, name);
      const unpacking = newUnpacking(place, { bytes: 1e12, entries: 1e9, ratio: null });
      await unpackArchive(createReadStream(file, { highWaterMark: 1024 * 1024 }), unpacking);
      await finishUnpacking(unpacking);
    };
    return { run, undo: () => rm(folder.work, { recursive: true }) };
  },
  async take(dataDir, uri) {
    const store = await openBenchStore(uri);
    const take = await taker(dataDir, store);
    const undo = () => rm(join(dataDir, 'tasks', 'bench', 'snapshot-manifest'));
    return { run: () => take('end'), undo, end: () => store.close() };
  },
  async restore(dataDir, uri) {
    const store = await openBenchStore(uri);
    const [{ restoreSnapshot }, { latestSnapshot }] = await Promise.all([
      import(`${lib}/snapshots/restore-snapshot.js`),
      import(`${lib}/store/snapshots.js`),
    ]);
    const folder = await taskIn(dataDir);
    const snapshot = await latestSnapshot(store, 'bench');
    const undo = () => rm(folder.work, { recursive: true });
    return { run: () => restoreSnapshot(store, snapshot, folder), undo, end: () => store.close() };
  },
};

async function taker(dataDir, store) {
  const { takeSnapshot } = await import(`${lib}/snapshots/take-snapshot.js`);
  await taskIn(dataDir);
  const log = { warn: () => undefined };
  let calls = 0;
  return (kind) =>
    takeSnapshot(
      { config: { dataDir }, store, log },
      {
        ref: { taskId: 'bench', runId: 'r' },
        settings: { key: 'bench', keep: 5, checkpoint: 'turn', exclude: null },
        kind,
        endState: kind === 'end' ? 'done' : 'running',
        threadId: null,
      },
      { request: `${process.pid}/${++calls}` },
    );
}

/** CPU of this thread so far, in ms. */
const ownCpuMs = () =>
  Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;

/**
 * Until it is asked: how late a timer came at worst, and the most CPU for which the loop was held at once, which
 * leaves out the time that others had.
 */
function watchLoop() {
  let last = performance.now();
  let spent = ownCpuMs();
  let lateMs = 0;
  let heldMs = 0;
  const timer = setInterval(() => {
    lateMs = Math.max(lateMs, performance.now() - last - LOOK_MS);
    last = performance.now();
    const now = ownCpuMs();
    heldMs = Math.max(heldMs, now - spent);
    spent = now;
  }, LOOK_MS);
  return () => (clearInterval(timer), { lateMs, heldMs });
}

const LOOK_MS = 2;

/** A step in this process, three times: the first, when nothing is compiled, and the better of the others. */
async function measure(step, ...args) {
  const memory = (key) =>
    Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))[1]) /
    1024;
  const { run, undo, end } = await steps[step](...args);
  const idle = memory('VmRSS');
  const taken = [];
  for (let i = 0; i < 3; i++) {
    if (i > 0) await undo?.();
    const worst = watchLoop();
    const cpu = process.cpuUsage();
    const start = performance.now();
    await run();
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    taken.push({ seconds, cpu: (user + system) / 1e6, ...worst() });
  }
  await end?.();
  const best = (key) => Math.min(...taken.slice(1).map((each) => each[key]));
  say({
    first: taken[0],
    seconds: best('seconds'),
    cpu: best('cpu'),
    lateMs: Math.max(...taken.map((each) => each.lateMs)),
    heldMs: Math.max(...taken.slice(1).map((each) => each.heldMs)),
    addedMb: memory('VmHWM') - idle,
  });
}

/** A process that does nothing: what the machine alone makes of a timer. */
async function idle() {
  const worst = watchLoop();
  say({ ready: true });
  await onCommands({});
  say({ idleLateMs: worst().lateMs });
}

/** Milliseconds of each of some checkpoints of an unchanged folder, after the first. */
async function checkpoints(dataDir, uri) {
  const store = await openBenchStore(uri);
  const take = await taker(dataDir, store);
  await take('checkpoint');
  const times = [];
  const cpuTimes = [];
  const held = [];
  for (let i = 0; i < 12; i++) {
    const cpu = process.cpuUsage();
    const start = performance.now();
    const worst = watchLoop();
    await take('checkpoint');
    held.push(worst().heldMs);
    times.push(performance.now() - start);
    const { user, system } = process.cpuUsage(cpu);
    cpuTimes.push((user + system) / 1000);
  }
  await store.close();
  say({ times: times.slice(2), cpuTimes: cpuTimes.slice(2), heldMs: Math.max(...held.slice(2)) });
}

/** No step takes this long on any machine that is fit for it: one that hangs is named. Milliseconds. */
const STEP_MS = 60_000;

async function inTime(what, promise, giveUp) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${STEP_MS / 1000} s`)), STEP_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } catch (error) {
    giveUp();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function child(...args) {
  process.stderr.write(`snapshots: ${args[0]}\n`);
  const beside = startChild([process.execPath, here('snapshots.mjs'), 'idle']);
  await beside.wait('ready');
  const running = startChild([process.execPath, here('snapshots.mjs'), ...args]);
  try {
    const key = args[0] === 'checkpoints' ? 'times' : 'seconds';
    const figures = await inTime(args[0], running.wait(key), () => process.kill(running.pid, 'SIGKILL'));
    beside.send({ cmd: 'quit' });
    return { ...figures, ...(await beside.wait('idleLateMs')) };
  } finally {
    await running.quit();
    await beside.quit();
  }
}

/** The comparison harness's own bench of the Python package; nothing without it. */
async function python(shape, mongoUrl) {
  const { PEER_PYTHON, PEER_BENCH } = process.env;
  if (!PEER_PYTHON || !PEER_BENCH) return null;
  const where = mongoUrl ? ['--store', 'mongo'] : [];
  process.stderr.write(`snapshots: python ${shape} ${where.join(' ')}\n`);
  const bench = spawn(process.execPath, [`${PEER_BENCH}/snapshot.mjs`, '--shape', shape, ...where], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...(mongoUrl && { MONGO_URL: mongoUrl }) },
  });
  const textOf = async () => {
    let text = '';
    for await (const chunk of bench.stdout) text += chunk;
    return text;
  };
  const text = await inTime(`the Python package (${shape})`, textOf(), () => bench.kill('SIGKILL'));
  const [archive, unpack] = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  if (!archive?.ok || !unpack) throw new Error(`the Python package (${shape}) gave ${JSON.stringify(text)}`);
  const figures = ({ wall_s, cpu_s }) => ({ seconds: wall_s, cpu: cpu_s });
  return { archive: figures(archive), unpack: figures(unpack) };
}

/** What Python needed where the targets were set, in seconds, for when it is not beside us. */
const FIXED = { small: { archive: 0.46, unpack: 0.31 }, big: { archive: 2.27, unpack: 1.77 } };

/** Rows for the table of `run.mjs`. */
export async function snapshotRows(runs) {
  const base = process.env.BENCH_TMP ?? (existsSync('/dev/shm') ? '/dev/shm' : tmpdir());
  const rows = [];
  for (const [shape, size] of Object.entries(SHAPES)) {
    const dir = await mkdtemp(join(base, 'codex-task-bench-'));
    try {
      const folder = await taskIn(join(dir, 'from'));
      fill(folder.work, size);
      const ours = { archive: [], unpack: [] };
      const others = { archive: [], unpack: [] };
      for (let run = 0; run < runs; run++) {
        ours.archive.push(await child('archive', join(dir, 'from'), join(dir, 'archive')));
        ours.unpack.push(await child('unpack', join(dir, `to${run}`), join(dir, 'archive')));
        await rm(join(dir, `to${run}`), { recursive: true });
        const other = await python(shape);
        for (const step of ['archive', 'unpack']) if (other) others[step].push(other[step]);
      }
      const name = shape === 'small' ? '2,000 × 20 KB' : '200 MB';
      const all = [...ours.archive, ...ours.unpack];
      rows.push(
        ...beside(`archive ${name}`, size, ours.archive, others.archive, FIXED[shape].archive),
        ...beside(`restore ${name}`, size, ours.unpack, others.unpack, FIXED[shape].unpack),
        ...bounds(name, all),
        noted(`${name}: archive (MB)`, (await stat(join(dir, 'archive'))).size / 1e6),
      );
      if (shape === 'small') rows.push(...(await withDatabase(dir, size)));
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }
  return rows;
}

async function withDatabase(dir, size) {
  const { startMongodb } = await import(`${lib}/dev/mongodb/choose-mongodb.js`);
  const ended = new AbortController();
  mkdirSync(join(dir, 'db'));
  const options = { folder: join(dir, 'db'), ephemeral: true, say: () => undefined, signal: ended.signal };
  const server = await startMongodb({ ...options, env: process.env });
  try {
    const taken = await child('take', join(dir, 'from'), server.uri);
    const restored = await child('restore', join(dir, 'to'), server.uri);
    const { times, cpuTimes, heldMs } = await child('checkpoints', join(dir, 'from'), server.uri);
    const name = '2,000 × 20 KB, database';
    const other = await python('small', withDatabaseName(server.uri, 'python'));
    const of = (step) => (other ? [other[step]] : []);
    return [
      ...beside(`archive ${name}`, size, [taken], of('archive'), null),
      ...beside(`restore ${name}`, size, [restored], of('unpack'), null),
      ...bounds(name, [taken, restored]),
      atMost('checkpoint of 2,000 unchanged files, p50 (ms)', 50, median(times)),
      atMost('the same: CPU of the worker, p50 (ms)', 50, median(cpuTimes)),
      atMost('the same: longest that it held the event loop, CPU (ms)', 20, heldMs),
    ];
  } finally {
    ended.abort();
    await server.close();
  }
}

/** The harness takes the database's name from the URL. */
function withDatabaseName(uri, name) {
  const [, before, query = ''] = /^(mongodb:\/\/[^/?]*)\/?[^?]*(\?.*)?$/.exec(uri);
  return `${before}/${name}${query}`;
}

function bounds(name, figures) {
  const most = (key) => Math.max(...figures.map((each) => each[key]));
  return [
    atMost(`${name}: most memory that either added (MB)`, 64, most('addedMb')),
    atMost(`${name}: longest that it held the event loop, CPU (ms)`, 20, most('heldMs')),
    noted(`${name}: worst delay of a 2 ms timer (ms)`, most('lateMs')),
    noted('the same in a process beside it that does nothing (ms)', most('idleLateMs')),
  ];
}

/** Wall time and CPU beside Python's; without it the time that DESIGN has for it. `fixed` null: no target. */
function beside(what, size, ours, others, fixed) {
  const middle = (list, key) => median(list.map((each) => each[key]));
  const rate = (seconds) => megabytesOf(size) / seconds;
  const has = others.length > 0;
  const target = fixed === null ? '–' : '≥ 2 × Python';
  const row = (name, target, mine, other, ratio) => ({
    what: `${what}${name}`,
    target,
    ours: mine,
    python: other,
    ratio,
    met: target === '–' || ratio >= 2,
  });
  const wall = middle(ours, 'seconds');
  const cpu = middle(ours, 'cpu');
  const otherWall = has ? middle(others, 'seconds') : fixed;
  const otherCpu = has ? middle(others, 'cpu') : null;
  const first = median(ours.map((each) => each.first.cpu));
  return [
    row(' (MB/s)', target, rate(wall), has ? rate(otherWall) : null, otherWall && otherWall / wall),
    row(': CPU (ms)', '–', cpu * 1e3, has ? otherCpu * 1e3 : null, has ? otherCpu / cpu : null),
    noted('the same, the first in a process (ms)', first * 1e3),
  ];
}

const atMost = (what, limit, ours) => ({ what, target: `≤ ${limit}`, ours, met: ours <= limit });
const noted = (what, ours) => ({ what, target: '–', ours, met: true });

if (process.argv[1] === here('snapshots.mjs')) {
  const [step, ...args] = process.argv.slice(2);
  if (step === 'idle') await idle();
  else if (step === 'checkpoints') await checkpoints(...args);
  else if (step) await measure(step, ...args);
  else for (const row of await snapshotRows(1)) console.log(row);
}
