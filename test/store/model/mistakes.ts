import type { Change } from './mutants.js';

/** A mistake that the store once had, or could have. */
export interface Mistake {
  /** What would be wrong. */
  name: string;
  /** Of `src/store`. */
  file: string;
  changes: readonly Change[];
  /** A run that finds it; another one is looked for where it does not any more. */
  seed?: number;
  /** What the run says. */
  says: RegExp;
}

const HELD = "return id && { _id: id, 'lease.holder': lease.holder, leaseEpoch: lease.leaseEpoch };";

/**
 * Of leases, logins and blobs; those of which credential takes the place of which are in `CREDENTIAL_MISTAKES`, and those
 * that the model cannot have, with the test that finds each, in `BEYOND`.
 */
export const MISTAKES: readonly Mistake[] = [
  {
    name: 'the last save does not look whether the seed has it still',
    file: 'seeds',
    changes: [
      [
        'requireCredential(authJson, `Seed ${lease.seedId}`);',
        "requireCredential(authJson, `Seed ${lease.seedId}`);\n  if (context.confirms) return { kind: 'unchanged' };",
      ],
    ],
    seed: 13,
    says: /lost/,
  },
  {
    name: 'a late save is refused though nobody had the seed since',
    file: 'leases',
    changes: [
      ['if (leaseEpoch !== lease.leaseEpoch ||', 'if (Date.now() > 0 || leaseEpoch !== lease.leaseEpoch ||'],
    ],
    seed: 229,
    says: /was refused though nobody/,
  },
  {
    name: 'an expired lease is taken before a seed without one',
    file: 'acquire-seed',
    changes: [["(await take({ 'lease.expiresAt': null })) ??", '(await take(unleased(now))) ??']],
    seed: 33,
    says: /though a seed was free/,
  },
  {
    name: 'a save under a seed that is locked here throws',
    file: 'seeds',
    changes: [
      [
        "if (base.kind === 'unreadable' || base.kind === 'locked') return keepAside(base.reason);",
        "if (base.kind === 'unreadable' || base.kind === 'locked') throw new TaskError('HostUnfit', base.reason);",
      ],
    ],
    seed: 75,
    says: /is encrypted with the key|cannot be read/,
  },
  {
    name: 'nothing tells a login from others',
    file: 'auth-shape',
    changes: [['return token && createHash', 'return Date.now() > 0 ? null : token && createHash']],
    seed: 83,
    says: /two writers/,
  },
  {
    name: 'a forced add takes out what somebody uses',
    file: 'take-out',
    changes: [['{ ...asRead, ...unleased(judgedBy(store.client, now)) }', 'asRead']],
    seed: 1,
    says: /ended the lease/,
  },
  {
    name: 'a seed is deleted whose lease ran out and may come back',
    file: 'remove-seed',
    changes: [
      [
        'if (found.lease && !force)',
        'if (found.lease && found.lease.expiresAt > (await databaseNow(store)) && !force)',
      ],
      ['...(force ? {} : { lease: null })', '...({})'],
    ],
    seed: 9,
    says: /has or had/,
  },
  {
    name: 'a seed is exported whose lease ran out and may come back',
    file: 'export-seed',
    changes: [
      [
        'if (seed.lease && !force)',
        'if (seed.lease && seed.lease.expiresAt > (await databaseNow(store)) && !force)',
      ],
      ['...(force ? {} : { lease: null })', '...({})'],
    ],
    seed: 1,
    says: /has or had/,
  },
  {
    name: 'blobs of a deleted seed are noted after it',
    file: 'remove-seed',
    changes: [['await prepare?.(found);', 'void prepare;']],
    seed: 13,
    says: /before its blobs were noted/,
  },
  {
    name: 'the document that goes is not the one that was noted',
    file: 'remove-seed',
    changes: [['{ _id, blobId: found.blobId, ', '{ _id, ']],
    seed: 121,
    says: /before its blobs were noted/,
  },
  {
    name: 'a write counts whoever holds the seed',
    file: 'leases',
    changes: [[HELD, 'return id && { _id: id };']],
    seed: 1,
    says: /wrote|ended|two writers/,
  },
  {
    name: 'a write counts under whatever epoch',
    file: 'leases',
    changes: [[HELD, "return id && { _id: id, 'lease.holder': lease.holder };"]],
    seed: 169,
    says: /under epoch|two writers|lost|nobody knows/,
  },
  {
    name: 'an earlier attempt takes a seed after a later one',
    file: 'lease-requests',
    changes: [['if (!request) return {};', 'if (Date.now() > 0) return {};\n  if (!request) return {};']],
    seed: 8,
    says: /nobody knows/,
  },
  {
    name: 'a task marks the seed of another one',
    file: 'assign-seed',
    changes: [
      [
        'return filter !== null && setWhere(store, { ...filter, ...NOT_HELD }, { status });',
        'return filter !== null && setWhere(store, { _id: filter._id!, ...NOT_HELD }, { status });',
      ],
    ],
    seed: 5,
    says: /wrote .*status/,
  },
  {
    name: 'a task takes its seed into a pool of its own',
    file: 'assign-seed',
    changes: [['const poolKey = seed.poolKey ?? pool;', 'const poolKey = pool ?? seed.poolKey;']],
    seed: 9,
    says: /moved a seed to the pool/,
  },
  {
    name: 'a save does not compare what it replaces',
    file: 'swap-blob',
    changes: [['_id: seed._id, blobId: seed.blobId },', '_id: seed._id },']],
    seed: 104,
    says: /names a blob that is missing/,
  },
  {
    name: 'a lease is taken again whoever has the seed',
    file: 'retake-lease',
    changes: [['{ ...filter, leaseEpoch },\n', '{ _id: filter._id! },\n']],
    seed: 77,
    says: /wrote|two writers/,
  },
  {
    name: 'a cleared lease is had again whoever used the seed meanwhile',
    file: 'retake-lease',
    changes: [
      [
        '{ _id: seed._id, lease: null, leaseEpoch: lease.leaseEpoch, blobId: seed.blobId, ...NOT_HELD },',
        '{ _id: seed._id, lease: null },',
      ],
      [
        'if (seed.lease || !authJson || fingerprint(authJson) !== savedAuth) return false;',
        'if (seed.lease || !authJson) return false;\n  void fingerprint;',
      ],
    ],
    seed: 69,
    says: /of a seed of nobody/,
  },
  {
    name: 'a cleared lease is had again of a seed that is out of use since',
    file: 'retake-lease',
    changes: [['blobId: seed.blobId, ...NOT_HELD },', 'blobId: seed.blobId },']],
    seed: 596,
    says: /out of use/,
  },
  {
    name: 'a credential is restored under the lease of a task',
    file: 'restore',
    changes: [
      [
        'if (seed.lease && seed.lease.expiresAt > now)\n',
        'if (Date.now() < 0 && seed.lease && seed.lease.expiresAt > now)\n',
      ],
      [
        'await swapBlob(store, { ...unleased(now), ...isHeldAsRead }, seed,',
        'await swapBlob(store, isHeldAsRead, seed,',
      ],
    ],
    seed: 532,
    says: /ended the lease|changed the credential/,
  },
  {
    name: 'what cannot be saved is not kept aside',
    file: 'seeds',
    changes: [
      [
        'const quarantineId = await quarantineAuth(store, lease, authJson, { taskId, reason });',
        "const quarantineId = '';\n    void taskId;",
      ],
    ],
    seed: 7,
    says: /lost/,
  },
  {
    name: 'a lease that was renewed meanwhile is cleared',
    file: 'leases',
    changes: [
      [
        "const filter = { _id, 'lease.holder': holder, 'lease.expiresAt': expiresAt };",
        'const filter = { _id };\n  void holder;\n  void expiresAt;',
      ],
    ],
    seed: 18,
    says: /ended the lease/,
  },
  {
    name: 'a write counts that a majority does not have',
    file: 'connection-options',
    changes: [["writeConcern: { w: 'majority', journal: true }", 'writeConcern: { w: 1, journal: true }']],
    seed: 4,
    says: /lost|two writers|names a blob that is missing/,
  },
  {
    name: 'a write counts that is in no journal',
    file: 'connection-options',
    changes: [
      ["writeConcern: { w: 'majority', journal: true }", "writeConcern: { w: 'majority', journal: false }"],
    ],
    seed: 4,
    says: /lost|two writers|names a blob that is missing/,
  },
];
