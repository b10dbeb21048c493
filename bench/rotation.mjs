// How long after codex replaced its auth.json the database has it: a task of a real worker on the embedded stack,
// whose auth.json is rewritten as codex does it (a file beside, synced and renamed).
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { percentile } from './lib.mjs';
import { startRealStack, until } from './real-stack.mjs';

const lib = process.env.BENCH_LIB ?? new URL('../lib', import.meta.url).pathname;
const { openStore } = await import(`${lib}/store/open-store.js`);
const { insertSeed, readSeed } = await import(`${lib}/store/seeds.js`);
const { seedsOf, objectIdOf } = await import(`${lib}/store/collections.js`);

const ROTATIONS = 100;
/** Between the end of one and the begin of the next, so that each meets a worker at rest. */
const REST_MS = 50;
const LOOK_MS = 2;

const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** As large as a real one: three tokens of some 2 KB. */
function authJson(n) {
  const claims = {
    exp: Math.floor(Date.now() / 1000) + 36_000,
    jti: `rotation-${n}`,
    filler: 'x'.repeat(1_400),
  };
  const token = `${part({ alg: 'none' })}.${part(claims)}.unsigned`;
  const tokens = { id_token: token, access_token: token, refresh_token: `rt-${n}`, account_id: 'acc-1' };
  return Buffer.from(
    JSON.stringify({ OPENAI_API_KEY: null, auth_mode: 'chatgpt', tokens, last_refresh: new Date() }),
  );
}

export async function rotations() {
  const stack = await startRealStack();
  const store = await openStore({ uri: stack.line.mongodbUri, prefix: 'optio' });
  try {
    const seedId = await insertSeed(store, { authJson: authJson(0) });
    const task = await stack.start('rotation', { credential: { seedId }, mode: 'conversation' });
    await until('an idle task', async () => (await task.status().catch(() => null))?.state === 'idle');
    const file = join(stack.line.dataDir, 'tasks', task.taskId, 'home/.codex/auth.json');
    const times = [];
    for (let n = 1; n <= ROTATIONS; n++) {
      const { blobId: before } = await seedsOf(store).findOne({ _id: objectIdOf(seedId) });
      await writeBeside(`${file}.next`, authJson(n));
      const renamedAt = performance.now();
      await rename(`${file}.next`, file);
      const look = () =>
        seedsOf(store).findOne(
          { _id: objectIdOf(seedId), blobId: { $ne: before } },
          { projection: { _id: 1 } },
        );
      await until('a saved rotation', look, LOOK_MS);
      times.push(performance.now() - renamedAt);
      if (!String((await readSeed(store, seedId)).authJson).includes(`"rt-${n}"`))
        throw new Error(`the seed does not hold rotation ${n}`);
      await pause(REST_MS);
    }
    await task.close();
    await task.result();
    return { p50: percentile(times, 50), p99: percentile(times, 99), worst: Math.max(...times) };
  } finally {
    await store.close();
    await stack.close();
  }
}

async function writeBeside(path, bytes) {
  const handle = await open(path, 'w', 0o600);
  try {
    await handle.writeFile(bytes);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

if (process.argv[1] === new URL(import.meta.url).pathname) console.log(await rotations());
