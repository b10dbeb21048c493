import { isNewer } from '../formats.js';
import type { SeedDocument } from './collections.js';
import { readBase, readCurrentSeed } from './current-seed.js';
import { holdSeed, putAside } from './hold-seed.js';
import type { Lease } from './leases.js';
import { isUnread, noteLogin } from './logins.js';
import type { Store } from './mongo.js';
import { hasOpenRecord, settleUnderLease } from './settle-quarantine.js';

/**
 * Whether a leased seed may be used: nothing newer of it is in quarantine, and its login is in no other seed. An unfit
 * one is released and held.
 */
export async function isFit(store: Store, seed: SeedDocument, lease: Lease): Promise<boolean> {
  if (await hasOpenRecord(store, lease.seedId)) {
    if ((await settleUnderLease(store, lease)) === 'held') return false;
  }
  if (!isUnread(seed) && !isNewer('seed', seed.manifestVersion)) return true;
  const base = await readBase(store, seed, seed.blobId);
  // A missing blob may have been replaced just now; the caller looks again.
  if (base.kind === 'missing') return true;
  if (base.kind !== 'read') {
    await putAside(store, lease, base);
    return false;
  }
  return isOnlyOne(store, seed, lease, base.members.authJson);
}

/** Whether no other seed has the login of a leased seed. A second seed of a login is released and held. */
export async function isOnlyOne(
  store: Store,
  seed: SeedDocument,
  lease: Lease,
  authJson: Buffer | null,
): Promise<boolean> {
  const noted = await noteLogin(store, seed, authJson);
  if (typeof noted === 'string') return true;
  const reason = `its login is in seed ${noted.taken._id.toHexString()} too`;
  await holdSeed(store, lease, { kind: 'duplicate', reason });
  return false;
}

/** The files of a leased seed, or why it cannot be used: it is then released and held. */
export async function takeSeed(
  store: Store,
  lease: Lease,
): Promise<{ authJson: Buffer; configToml: Buffer | null } | { unfit: string }> {
  const current = await readCurrentSeed(store, lease.seedId);
  if (!current) return { unfit: 'it is gone' };
  const { seed, base } = current;
  const authJson = base.kind === 'read' ? base.members.authJson : null;
  if (!authJson) {
    const aside =
      base.kind === 'read' ? ({ kind: 'unreadable', reason: 'it holds no auth.json' } as const) : base;
    await putAside(store, lease, aside);
    return { unfit: aside.reason };
  }
  if (isUnread(seed) && !(await isOnlyOne(store, seed, lease, authJson)))
    return { unfit: 'its login is in another seed too' };
  return { authJson, configToml: base.kind === 'read' ? base.members.configToml : null };
}
