import { expect, test } from 'vitest';
import { saveCredential, saveForGood } from '../../../src/session/account/save-credential.js';
import { deleteBlob } from '../../../src/store/blobs.js';
import { listQuarantine, readQuarantined } from '../../../src/store/quarantine.js';
import { acquireSeed } from '../../../src/store/acquire-seed.js';
import { releaseLease } from '../../../src/store/leases.js';
import { saveBack } from '../../../src/store/seeds.js';
import { foreignRefresh, seedOf } from '../../store/support.js';
import { startAccountSession } from './account-session.js';

const LONG = 60_000;

test(
  'a host that lost its lease does not retire the seed of the next holder',
  async () => {
    const each = await startAccountSession();
    // What is left of a refresh that codex could not write.
    each.task.account.dead = 'codex could not write auth.json';
    const theirs = await each.steal();
    await saveBack(each.store, theirs, each.oauth.login(), { taskId: 'other' });
    await saveForGood(each.host, each.task, each.lease);
    expect(each.oauth.isGood(await each.inSeed())).toBe(true);
    expect(await each.seedStatus()).not.toBe('dead');
  },
  LONG,
);

test(
  'a client that saves without a lease does not lose the newest token',
  async () => {
    const each = await startAccountSession();
    const old = await each.inSeed();
    await each.rotate();
    expect(await saveCredential(each.host, each.task, each.lease)).toMatchObject({ kind: 'saved' });
    await foreignRefresh(each.store, each.lease.seedId, old);
    await saveForGood(each.host, each.task, each.lease);
    expect(each.oauth.isGood(await each.inSeed())).toBe(true);
    expect(await listQuarantine(each.store)).toEqual([]);
  },
  LONG,
);

test(
  'a rotation whose seed lost its blob is saved, quarantined and leased next',
  async () => {
    const each = await startAccountSession();
    // Nothing was looked at before, as after an adoption by a new worker.
    await each.rotate();
    const { blobId } = await seedOf(each.store, each.lease.seedId);
    await deleteBlob(each.store, blobId.toHexString());
    await saveForGood(each.host, each.task, each.lease);
    const [record, ...others] = await listQuarantine(each.store, each.lease.seedId);
    expect(others).toEqual([]);
    const kept = await readQuarantined(each.store, record!.quarantineId);
    expect(each.oauth.isGood(kept!)).toBe(true);
    await releaseLease(each.store, each.lease);
    expect(await acquireSeed(each.store, { seedId: each.lease.seedId }, 'next/r', LONG)).toMatchObject({
      kind: 'leased',
    });
    expect(await each.inSeed()).toEqual(kept);
  },
  LONG,
);
