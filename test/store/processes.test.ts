import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { json } from 'node:stream/consumers';
import { join } from 'node:path';
import { ObjectId } from 'mongodb';
import { expect, test } from 'vitest';
import type { AcquireResult } from '../../src/store/acquire-seed.js';
import { seedsOf } from '../../src/store/collections.js';
import { buildPackage } from '../support/built-package.js';
import { makeFolder } from '../support/folders.js';
import { useStore } from './support.js';

const use = useStore();

/** What each process runs: as many acquires at once as it is told. */
const ACQUIRE = `
  const [lib, uri, prefix, name, count] = process.argv.slice(1);
  const { openStore } = await import(lib + '/open-store.js');
  const { acquireSeed } = await import(lib + '/acquire-seed.js');
  const store = await openStore({ uri, prefix });
  const ask = (_, i) => acquireSeed(store, { pool: 'main' }, name + '-' + i, 60_000);
  const results = await Promise.all(Array.from({ length: Number(count) }, ask));
  await store.close();
  console.log(JSON.stringify(results));
`;

test('80 acquires of four concurrent processes lease 50 seeds once each and refuse 30', async () => {
  const built = await makeFolder();
  try {
    await buildPackage(built.path);
    const seeds = Array.from({ length: 50 }, () => ({
      _id: new ObjectId(),
      createdAt: new Date(),
      blobId: new ObjectId(),
      manifestVersion: 1,
      poolKey: 'main',
    }));
    await seedsOf(use.store).insertMany(seeds);
    const lib = join(built.path, 'lib', 'store');
    const results = await Promise.all(
      ['a', 'b', 'c', 'd'].map(async (name) => {
        const args = ['--input-type=module', '-e', ACQUIRE, lib, use.uri, use.store.prefix, name, '20'];
        const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
        const exited = once(child, 'exit');
        const answers = (await json(child.stdout)) as AcquireResult[];
        await exited;
        return answers;
      }),
    );
    const all = results.flat();
    const leased = all.flatMap((each) => (each.kind === 'leased' ? [each.lease.seedId] : []));
    expect(new Set(leased)).toEqual(new Set(seeds.map(({ _id }) => _id.toHexString())));
    expect([leased.length, all.filter(({ kind }) => kind === 'busy').length]).toEqual([50, 30]);
  } finally {
    await built.remove();
  }
});
