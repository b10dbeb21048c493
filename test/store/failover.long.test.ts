import { expect, test } from 'vitest';
import { acquireSeed } from '../../src/store/acquire-seed.js';
import { seedsOf } from '../../src/store/collections.js';
import { releaseLease, renewLease, type Lease } from '../../src/store/leases.js';
import { type Store } from '../../src/store/mongo.js';
import { listQuarantine } from '../../src/store/quarantine.js';
import { insertSeed, readSeed, saveBack } from '../../src/store/seeds.js';
import { startFailingOver, type Trouble } from '../support/failing-over.js';
import { auth, blobsOf, MINUTE, seedOf } from './support.js';
import { openStore } from '../../src/store/open-store.js';

/** A life of a lease, and what holds after each of its steps. */
const STEPS: Record<string, (store: Store, seedId: string, lease: () => Promise<Lease>) => Promise<void>> = {
  async acquire(store, seedId, lease) {
    expect(await lease()).toMatchObject({ seedId, leaseEpoch: 1 });
    expect(await seedOf(store, seedId)).toMatchObject({ lease: { holder: 'task/run' }, leaseEpoch: 1 });
  },
  async save(store, seedId, lease) {
    expect(await saveBack(store, await lease(), auth('second'), { taskId: 'task' })).toMatchObject({
      kind: 'saved',
    });
    expect((await readSeed(store, seedId))?.authJson).toEqual(auth('second'));
    expect((await seedOf(store, seedId)).previousBlobs).toHaveLength(1);
    expect(await listQuarantine(store)).toEqual([]);
    expect(await blobsOf(store)).toHaveLength(2);
  },
  async renew(store, seedId, lease) {
    expect(await renewLease(store, await lease(), MINUTE)).toBe(true);
    expect(await seedOf(store, seedId)).toMatchObject({ leaseEpoch: 1 });
  },
  async release(store, seedId, lease) {
    expect(await releaseLease(store, await lease())).toBe(true);
    expect(await seedOf(store, seedId)).toMatchObject({ lease: null, leaseEpoch: 1 });
  },
};

const TROUBLES: Trouble[] = ['refused', 'cut', 'cut-before'];
/** More than any step writes. */
const MAX_WRITES = 10;

test.each(Object.keys(STEPS))(
  'a failover at any write of a lease’s %s repeats nothing and is not noticed',
  async (name) => {
    const set = await startFailingOver();
    for (const trouble of TROUBLES)
      for (let afterWrites = 0; ; afterWrites++) {
        expect(afterWrites).toBeLessThan(MAX_WRITES);
        const store = await openStore({
          uri: set.uri(),
          prefix: `${trouble.replace('-', '')}${afterWrites}`,
        });
        try {
          const seedId = await insertSeed(store, { authJson: auth(`${trouble} ${afterWrites}`), pool: 'p' });
          let held: Promise<Lease> | undefined;
          const lease = () =>
            (held ??= acquireSeed(store, { pool: 'p' }, 'task/run', MINUTE, {
              step: 's',
              at: new Date(1),
            }).then((result) => {
              expect(result).toMatchObject({ kind: 'leased' });
              return (result as { lease: Lease }).lease;
            }));
          if (name !== 'acquire') await lease();
          set.trouble(trouble, afterWrites);
          await STEPS[name]!(store, seedId, lease);
          if (!set.isOver) break;
          expect(await seedsOf(store).countDocuments()).toBe(1);
        } finally {
          await store.close();
        }
      }
  },
);
