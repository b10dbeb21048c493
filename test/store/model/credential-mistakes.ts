import type { Mistake } from './mistakes.js';

/** Of which credential takes the place of which, and who may have a seed: what `credential-rules.ts` says of a run. */
export const CREDENTIAL_MISTAKES: readonly Mistake[] = [
  {
    name: 'a seed is leased of which something newer is in quarantine',
    file: 'fit-seed',
    changes: [
      [
        'if (await hasOpenRecord(store, lease.seedId)) {',
        'if (Date.now() < 0 && (await hasOpenRecord(store, lease.seedId))) {',
      ],
    ],
    seed: 23,
    says: /was in quarantine|was closed/,
  },
  {
    name: 'what is kept aside is judged by the clocks of hosts',
    file: 'settle-quarantine',
    changes: [
      [
        'const later = isLater(authJson, stored);',
        'const later = refreshedAt(authJson) > refreshedAt(stored);',
      ],
      [
        "import { accountIn, isLater } from './auth-shape.js';",
        "import { accountIn, refreshedAt } from './auth-shape.js';",
      ],
    ],
    seed: 50,
    says: /was closed/,
  },
  {
    name: 'what is kept aside counts as older than what the seed has',
    file: 'settle-quarantine',
    changes: [
      ["return later ? { kind: 'later', authJson } : { kind: 'older' };", "return { kind: 'older' };"],
    ],
    seed: 7,
    says: /was closed/,
  },
  {
    name: 'a seed that is out of use is verified, which spends its token',
    file: 'seed-verification',
    changes: [
      ['{ _id, ...NOT_HELD, ...unleased(judgedBy(store.client, now)) },', '{ _id, ...unleased(now) },'],
    ],
    seed: 16,
    says: /out of use/,
  },
  {
    name: 'a verification takes the seed of a task',
    file: 'seed-verification',
    changes: [['{ _id, ...NOT_HELD, ...unleased(judgedBy(store.client, now)) },', '{ _id, ...NOT_HELD },']],
    seed: 1,
    says: /wrote lease/,
  },
  {
    name: 'a read goes to a secondary that is behind',
    file: 'connection-options',
    changes: [["readPreference: 'primary',", "readPreference: 'secondaryPreferred',"]],
    seed: 1,
    says: /was deleted each time right after it was stored/,
  },
  {
    name: 'a verification writes what it found into the seed of another',
    file: 'seed-verification',
    changes: [
      [
        '  const filter = heldBy(lease);\n  if (!filter) return false;\n  const { verdict',
        '  const filter = heldBy(lease) && { _id: heldBy(lease)!._id! };\n  if (!filter) return false;\n  const { verdict',
      ],
    ],
    seed: 31,
    says: /wrote /,
  },
  {
    name: 'a task that is out of quota holds the seed of another out',
    file: 'limit-seed',
    changes: [
      [
        '  const filter = heldBy(lease);\n  if (!filter) return false;\n  const note',
        '  const filter = heldBy(lease) && { _id: heldBy(lease)!._id! };\n  if (!filter) return false;\n  const note',
      ],
    ],
    seed: 22,
    says: /wrote /,
  },
  {
    name: 'a seed is taken out of use that another has by then',
    file: 'hold-seed',
    changes: [
      [
        '  const filter = heldBy(lease);\n  if (!filter) return false;\n  const seed =',
        '  const filter = heldBy(lease) && { _id: heldBy(lease)!._id! };\n  if (!filter) return false;\n  const seed =',
      ],
    ],
    seed: 58,
    says: /wrote /,
  },
  {
    name: 'a seed is put aside that another has by then',
    file: 'hold-seed',
    changes: [
      [
        '  const filter = heldBy(lease);\n  if (!filter) return false;\n  const forMs',
        '  const filter = heldBy(lease) && { _id: heldBy(lease)!._id! };\n  if (!filter) return false;\n  const forMs',
      ],
    ],
    seed: 100,
    says: /wrote /,
  },
  {
    name: 'a seed that was put aside is leased again',
    file: 'acquire-seed',
    changes: [["  'metadata.putAside.until': { $not: { $gt: now } },\n", '']],
    seed: 63,
    says: /which it cannot read/,
  },
  {
    name: 'a seed that cannot be read is not put aside',
    file: 'hold-seed',
    changes: [
      ["$set: { lease: null, 'metadata.putAside': aside },", '$set: { lease: null },'],
      ['const aside: PutAside = { until, kind, reason };', 'void until; void reason;'],
    ],
    seed: 63,
    says: /which it cannot read/,
  },
  {
    name: 'a seed that was exported stays in its pool',
    file: 'export-seed',
    changes: [['    const isSame = keep\n', '    const isSame = keep || Date.now() > 0\n']],
    seed: 6,
    says: /was exported/,
  },
  {
    name: 'the earlier logins of a seed are forgotten',
    file: 'logins',
    changes: [['...(earlier.length > 0 && { earlierLogins: earlier }),', '']],
    seed: 2,
    says: /two seeds|two writers/,
  },
  {
    name: 'a save forgets the earlier logins of a seed',
    file: 'swap-blob',
    changes: [
      [
        'const login = loginFields(swap.authJson, blobId, seed);',
        'const login = { ...loginFields(swap.authJson, blobId, seed) };\n  delete login.earlierLogins;',
      ],
    ],
    seed: 2,
    says: /two seeds|two writers/,
  },
  {
    name: 'what another client stored is leased unread',
    file: 'fit-seed',
    changes: [
      [
        "if (!isUnread(seed) && !isNewer('seed', seed.manifestVersion)) return true;",
        "if (Date.now() > 0 || !isUnread(seed) || isNewer('seed', seed.manifestVersion)) return true;",
      ],
      ['if (isUnread(seed) && !(await', 'if (Date.now() < 0 && isUnread(seed) && !(await'],
    ],
    seed: 2,
    says: /two writers|two seeds/,
  },
  {
    name: 'a copy is leased whose login another seed has refreshed',
    file: 'logins',
    changes: [
      [
        "    if (!other) return (await write({ $set: set })) ? 'noted' : 'changed';",
        "    if (Date.now() > 0 || !other) return (await write({ $set: set })) ? 'noted' : 'changed';",
      ],
    ],
    seed: 2,
    says: /two seeds|two writers/,
  },
  {
    name: 'a lease is taken again under the epoch that an older process has',
    file: 'retake-lease',
    changes: [['const next = leaseEpoch + 1;', 'const next = leaseEpoch;']],
    seed: 3,
    says: /under its old epoch/,
  },
  {
    name: 'a seed at its limit is leased',
    file: 'acquire-seed',
    changes: [
      ["  'metadata.limitedUntil': { $not: { $gt: now } },\n  'metadata.putAside", "  'metadata.putAside"],
    ],
    seed: 2,
    says: /at its limit/,
  },
  {
    name: 'a limit stays though a verification found room',
    file: 'seed-verification',
    changes: [
      [
        "...(hasRoom && { $unset: { 'metadata.limitedUntil': 1, 'metadata.usageLimit': 1 } }),",
        "...(Date.now() < 0 && hasRoom && { $unset: { 'metadata.limitedUntil': 1 } }),",
      ],
    ],
    seed: 107,
    says: /limited still/,
  },
  {
    name: 'the clocks of hosts decide which orphan is collected',
    file: 'collect',
    changes: [
      [
        '(stored.equals(authJson) || isLater(stored, authJson))',
        '(stored.equals(authJson) || refreshedAt(stored) > refreshedAt(authJson))',
      ],
      ['import { isLater, isValidAuth, loginIn }', 'import { refreshedAt, isValidAuth, loginIn }'],
    ],
    seed: 654,
    says: /no other copy|lost/,
  },
  {
    name: 'the clocks of hosts decide what is restored',
    file: 'restore',
    changes: [['if (later !== null) return later;', '']],
    seed: 292,
    says: /put .* over/,
  },
  {
    name: 'the clocks of hosts decide what is saved',
    file: 'seeds',
    changes: [
      [
        'const later = stored && isLater(stored, authJson);',
        'const later = stored && refreshedAt(stored) > refreshedAt(authJson);',
      ],
      ['import { isLater, refreshedAt, requireCredential }', 'import { refreshedAt, requireCredential }'],
    ],
    seed: 1,
    says: /was kept aside though/,
  },
  {
    name: 'the blobs of a deleted seed are collected at once',
    file: 'collect',
    changes: [
      [
        'return !(droppedAt instanceof Date && droppedAt >= before);',
        'return Date.now() > 0 || !(droppedAt instanceof Date && droppedAt >= before);',
      ],
    ],
    seed: 32,
    says: /less than a day/,
  },
  {
    name: 'no orphan is rescued',
    file: 'collect',
    changes: [
      [
        "const verdict = isDropped ? 'worthless' : await rescue(store, file);",
        "const verdict: Awaited<ReturnType<typeof rescue>> = 'worthless' as never; void isDropped;",
      ],
    ],
    seed: 9,
    says: /lost|no other copy/,
  },
  {
    name: 'a blob is collected that was named meanwhile',
    file: 'collect',
    changes: [
      [
        '  await fenceBlobs(store, unnamed);\n  const left = await withoutNames(store, unnamed);',
        '  void fenceBlobs;\n  const left = unnamed;',
      ],
    ],
    seed: 77,
    says: /less than a day|missing/,
  },
  {
    name: 'a change of keys puts back what was saved meanwhile',
    file: 'rekey',
    changes: [['{ _id, ...unfenced(seed), blobId: seed.blobId },', '{ _id, ...unfenced(seed) },']],
    seed: 20,
    says: /changed the credential|lost|two writers/,
  },
];
