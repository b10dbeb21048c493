// Archive, restore and checkpoint of a workdir. As a child (`node snapshots.mjs archive DIR FILE`, …) one step in a
// process of its own, so that its memory is its own; imported, all of them, and the Python package's in the same run.
import { spawn } from 'node:child_process';
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  openSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { closeSync } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { here, median, say, startChild } from './lib.mjs';

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
  const { taskFolder } = await import(`${lib}/session/task-folder.js`);
  const folder = taskFolder(dataDir, 'bench');
  for (const path of [folder.work, folder.codexHome]) mkdirSync(path, { recursive: true });
  return folder;
}

async function openBenchStore(uri) {
  const { openStore } = await import(`${lib}/store/mongo.js`);
  return openStore({ uri, prefix: 'bench' });
}

/** What a step does; a step tells how often it is measured after one that is not. */
const steps = {
  async archive(dataDir, file) {
    const { archiveTask } = await import(`${lib}/session/archive-task.js`);
    const folder = await taskIn(dataDir);
    return () => pipeline(archiveTask(folder, { exclude: null }), createWriteStream(file));
  },
  async unpack(dataDir, file) {
    const { newUnpacking, unpackArchive, finishUnpacking } = await import(`${lib}/session/unpack-archive.js`);
    const folder = await taskIn(dataDir);
    return async () => {
      const place = (name) => join(folder.root, name);
      const unpacking = newUnpacking(place, { bytes: 1e12, entries: 1e9, ratio: null });
      await unpackArchive(createReadStream(file, { highWaterMark: 1024 * 1024 }), unpacking);
      await finishUnpacking(unpacking);
    };
  },
  async take(dataDir, uri) {
    const store = await openBenchStore(uri);
    const take = await taker(dataDir, store);
    return async () => (await take('end'), store.close());
  },
  async restore(dataDir, uri) {
    const store = await openBenchStore(uri);
    const [{ restoreSnapshot }, { latestSnapshot }] = await Promise.all([
      import(`${lib}/session/restore-snapshot.js`),
      import(`${lib}/store/snapshots.js`),
    ]);
    const folder = await taskIn(dataDir);
    const snapshot = await latestSnapshot(store, 'bench');
    return async () => (await restoreSnapshot(store, snapshot, folder), store.close());
  },
};

async function taker(dataDir, store) {
  const { takeSnapshot } = await import(`${lib}/session/take-snapshot.js`);
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

/** One step, once, in this process: its time, the memory it added, and how late a timer came meanwhile. */
async function measure(step, ...args) {
  const { readFileSync } = await import('node:fs');
  const memory = (key) =>
    Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))[1]) /
    1024;
  const run = await steps[step](...args);
  const idle = memory('VmRSS');
  let last = performance.now();
  let late = 0;
  const timer = setInterval(() => {
    late = Math.max(late, performance.now() - last - 10);
    last = performance.now();
  }, 10);
  const cpu = process.cpuUsage();
  const start = performance.now();
  await run();
  const seconds = (performance.now() - start) / 1000;
  clearInterval(timer);
  const { user, system } = process.cpuUsage(cpu);
  say({ seconds, cpu: (user + system) / 1e6, addedMb: memory('VmHWM') - idle, lateMs: late });
}

/** Milliseconds of each of some checkpoints of an unchanged folder, after the first. */
async function checkpoints(dataDir, uri) {
  const store = await openBenchStore(uri);
  const take = await taker(dataDir, store);
  await take('checkpoint');
  const times = [];
  const cpuTimes = [];
  for (let i = 0; i < 12; i++) {
    const cpu = process.cpuUsage();
    const start = performance.now();
    await take('checkpoint');
    times.push(performance.now() - start);
    const { user, system } = process.cpuUsage(cpu);
    cpuTimes.push((user + system) / 1000);
  }
  await store.close();
  say({ times: times.slice(2), cpuTimes: cpuTimes.slice(2) });
}

async function child(...args) {
  const running = startChild([process.execPath, here('snapshots.mjs'), ...args]);
  try {
    return await running.wait(args[0] === 'checkpoints' ? 'times' : 'seconds');
  } finally {
    await running.quit();
  }
}

/** The comparison harness's own bench of the Python package; nothing without it. */
async function python(shape) {
  const { PEER_PYTHON, PEER_BENCH } = process.env;
  if (!PEER_PYTHON || !PEER_BENCH) return null;
  const bench = spawn(process.execPath, [`${PEER_BENCH}/snapshot.mjs`, '--shape', shape], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  for await (const chunk of bench.stdout) text += chunk;
  const [capture, restore] = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  return { archive: capture.mb_per_s, unpack: restore.mb_per_s };
}

/** Rows for the table of `run.mjs`. */
export async function snapshotRows(runs) {
  const base = process.env.BENCH_TMP ?? (existsSync('/dev/shm') ? '/dev/shm' : tmpdir());
  const rows = [];
  for (const [shape, size] of Object.entries(SHAPES)) {
    const dir = await mkdtemp(join(base, 'codex-task-bench-'));
    try {
      const folder = await taskIn(join(dir, 'from'));
      fill(folder.work, size);
      const figures = { archive: [], unpack: [], pyArchive: [], pyUnpack: [], mb: [], late: [] };
      for (let run = 0; run < runs; run++) {
        const archived = await child('archive', join(dir, 'from'), join(dir, 'archive'));
        const unpacked = await child('unpack', join(dir, `to${run}`), join(dir, 'archive'));
        await rm(join(dir, `to${run}`), { recursive: true });
        figures.archive.push(megabytesOf(size) / archived.seconds);
        figures.unpack.push(megabytesOf(size) / unpacked.seconds);
        figures.mb.push(archived.addedMb, unpacked.addedMb);
        figures.late.push(archived.lateMs, unpacked.lateMs);
        const other = await python(shape);
        if (!other) continue;
        figures.pyArchive.push(other.archive);
        figures.pyUnpack.push(other.unpack);
      }
      const name = shape === 'small' ? '2,000 × 20 KB' : '200 MB';
      const fixed = shape === 'small' ? { archive: 87, unpack: 130 } : { archive: 88, unpack: 113 };
      rows.push(
        beside(`archive ${name}, no database (MB/s)`, figures.archive, figures.pyArchive, fixed.archive),
        beside(`restore ${name}, no database (MB/s)`, figures.unpack, figures.pyUnpack, fixed.unpack),
        atMost(`${name}: most memory that either added (MB)`, 64, Math.max(...figures.mb)),
        atMost(`${name}: worst delay of a 10 ms timer (ms)`, 100, Math.max(...figures.late)),
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
    const { times, cpuTimes } = await child('checkpoints', join(dir, 'from'), server.uri);
    return [
      noted('archive 2,000 × 20 KB into the database (MB/s)', megabytesOf(size) / taken.seconds),
      noted('restore 2,000 × 20 KB from the database (MB/s)', megabytesOf(size) / restored.seconds),
      noted('the same: most memory that either added (MB)', Math.max(taken.addedMb, restored.addedMb)),
      atMost('checkpoint of 2,000 unchanged files, p50 (ms)', 50, median(times)),
      noted('the same: CPU of the worker (ms)', median(cpuTimes)),
    ];
  } finally {
    ended.abort();
    await server.close();
  }
}

function beside(what, ours, python, fixed) {
  const other = python.length > 0 ? median(python) : null;
  return {
    what,
    target: '≥ 2 × Python',
    ours: median(ours),
    python: other,
    met: median(ours) >= 2 * (other ?? fixed),
  };
}

const atMost = (what, limit, ours) => ({ what, target: `≤ ${limit}`, ours, met: ours <= limit });
const noted = (what, ours) => ({ what, target: '–', ours, met: true });

if (process.argv[1] === here('snapshots.mjs')) {
  const [step, ...args] = process.argv.slice(2);
  if (step === 'checkpoints') await checkpoints(...args);
  else if (step) await measure(step, ...args);
  else for (const row of await snapshotRows(1)) console.log(row);
}
