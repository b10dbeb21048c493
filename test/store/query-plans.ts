/**
 * How each question that `src/store` asks is answered, but for those that name documents by `_id`: the index that it
 * goes by, or why it needs none. A question that a test of this folder asks and that is not here fails that test.
 */
export const PLANS: Readonly<Record<string, string>> = {
  ...within('codex_seeds', {
    // An attempt to lease, of a pool: what is its own, what is free, what ran out; and what to say of the rest.
    'lease.holder $in, metadata.limitedUntil $not $gt, metadata.putAside.until $not $gt, poolKey, status $ne by lastLeasedAt, _id':
      'by_lease_holder',
    'lease.expiresAt, metadata.limitedUntil $not $gt, metadata.putAside.until $not $gt, poolKey, status $ne by lastLeasedAt, _id':
      'by_pool_free',
    'lease.expiresAt $lte, metadata.limitedUntil $not $gt, metadata.putAside.until $not $gt, poolKey, status $ne by lease.expiresAt, _id':
      'by_pool_free',
    '(leaseRequest.at $not $gt or leaseRequest.holder $ne), lease.holder $in, metadata.limitedUntil $not $gt, metadata.putAside.until $not $gt, poolKey, status $ne by lastLeasedAt, _id':
      'by_lease_holder',
    '(leaseRequest.at $not $gt or leaseRequest.holder $ne), lease.expiresAt, metadata.limitedUntil $not $gt, metadata.putAside.until $not $gt, poolKey, status $ne by lastLeasedAt, _id':
      'by_pool_free',
    '(leaseRequest.at $not $gt or leaseRequest.holder $ne), lease.expiresAt $lte, metadata.limitedUntil $not $gt, metadata.putAside.until $not $gt, poolKey, status $ne by lease.expiresAt, _id':
      'by_pool_free',
    'leaseRequest.holder': 'by_leaseRequest_holder',
    'poolKey, status $ne': 'by_pool_free',
    '(metadata.putAside.kind or metadata.putAside.until $not $gt), poolKey, status $ne': 'by_pool_free',
    'lease.holder $in, metadata.limitedUntil $not $gt, metadata.putAside.until $not $gt, poolKey, status $ne':
      'by_lease_holder',
    'lease.expiresAt $not $gt, metadata.limitedUntil $not $gt, metadata.putAside.until $not $gt, poolKey, status $ne':
      'by_pool_free',
    // When the first account is back that is out of quota, and whether another is there.
    'metadata.limitedUntil $gt, poolKey, status $ne by metadata.limitedUntil': 'by_pool_limitedUntil',
    'metadata.limitedUntil $not $gt, poolKey, status $ne': 'by_pool_limitedUntil',
    'hold.kind, poolKey': 'by_hold_kind',
    'lease.holder, poolKey': 'by_lease_holder',
    // What earlier assignments of the same task hold.
    'lease.holder $gte $lt, poolKey': 'by_lease_holder',
    'lease.holder $in, poolKey': 'by_lease_holder',
    'lease.holder': 'by_lease_holder',
    poolKey: 'by_poolKey_lastLeasedAt',
    // Each minute, and of one task.
    'lease.expiresAt $lte': 'by_lease_expiresAt',
    'lease.holder $gte $lt': 'by_lease_holder',
    // Of one login, and of blobs.
    login: 'by_login',
    '_id $ne, login': 'by_login',
    '_id $ne, login $in': 'by_login',
    'earlierLogins, hold.isReplaced': 'by_earlierLogins',
    'earlierLogins, hold.isReplaced $ne': 'by_earlierLogins',
    '_id $ne, earlierLogins, hold.isReplaced $ne': 'by_earlierLogins',
    '(blobId $in or previousBlobs $in)': 'by_blobId, by_previousBlobs',
    // Commands of people: all of a pool, all.
    'poolKey by createdAt, _id': 'by_poolKey_lastLeasedAt',
    'all by createdAt, _id': 'all: seeds list',
    all: 'all: seeds rekey',
  }),
  ...within('codex_assignments', { hostId: 'by_hostId' }),
  ...within('codex_quarantine', {
    seedId: 'by_seedId_at_desc',
    'seedId by at, _id': 'by_seedId_at_desc',
    'at $lte, seedId, version $not $gt': 'by_seedId_at_desc',
    'seedId, settled $ne': 'by_seedId_at_desc',
    'seedId, settled $ne by at, _id': 'by_seedId_at_desc',
    'seedId, sha256': 'by_seedId_at_desc',
    'holder, leaseEpoch, seedId, sha256, taskId': 'by_seedId_at_desc',
    'taskId by at, _id': 'by_taskId_at_desc',
    'blobId $in': 'by_blobId',
    // A record is a loss that somebody has to look at: there are few.
    'settled $ne': 'few',
    'all by at, _id': 'few',
    all: 'few',
  }),
  ...within('codex_session_snapshots', {
    'processId by capturedAt, _id': 'by_processId_capturedAt_desc',
    'processId, request by capturedAt, _id': 'by_processId_capturedAt_desc',
    'capturedAt $gt, endState $ne, processId by capturedAt, _id': 'by_processId_capturedAt_desc',
    'endState $ne, processId, workdirBlobId by capturedAt, _id': 'by_workdirBlobId',
    '(layout, processId, taskId $exists or taskId) by capturedAt, _id':
      'by_processId_capturedAt_desc, by_taskId',
    '(changeBlobIds $in or workdirBlobId $in)': 'by_changeBlobIds, by_workdirBlobId',
    'all by capturedAt, _id': 'all: snapshots list',
  }),
  ...within('codex_snapshot_loose_blobs', { taskId: 'by_taskId', 'at $lt': 'by_at' }),
  ...within('codex_waiters', {
    '_id $ne, source': 'by_source_since',
    '$nor, _id $ne, expiresAt $gt, source': 'by_source_since',
    '$nor, (_id $lt, since or since $lt), _id $ne, expiresAt $gt, source': 'by_source_since',
    '$nor, expiresAt $gt, source by since, _id': 'by_source_since',
    '(told $gt or told, wokenAt $lte), expiresAt $gt, source by since, _id': 'by_source_since',
    'expiresAt $lte': 'by_expiresAt',
    taskId: 'by_taskId',
    // The different values of `source`, which its index has one beside the other.
    all: 'by_source_since',
  }),
  ...within('codex_journal_parts', {
    runId: 'by_runId',
    'runId by ledgerTo, lastId': 'by_runId',
    taskId: 'by_taskId',
  }),
  ...within('codex_messages', {
    runId: 'by_runId',
    'runId by _id': 'by_runId',
    'messageId $in, runId': 'by_runId',
    taskId: 'by_taskId',
  }),
  ...within('codex_event_marks', { taskId: 'by_taskId' }),
  ...within('codex_hosts', { all: 'few', 'all by _id': 'few', 'expiresAt $gt': 'few' }),
  ...within('fs.files', {
    'metadata.taskId': 'by_codex_taskId',
    'metadata.prefix, metadata.writer, uploadDate $lt by uploadDate': 'by_codex_writer',
  }),
};

/** What only tests ask of the server, to see what there is. */
export const ASKED_BY_TESTS =
  /^(?:fs\.files: (?:all|filename.*)|codex_\w+: all|codex_seeds: lease\.expiresAt \$not \$gt, poolKey, status \$ne by lastLeasedAt|codex_seeds: lease \$ne, lease\.expiresAt \$not \$gt)$/;

function within(collection: string, plans: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(plans).map(([text, plan]) => [`${collection}: ${text}`, plan]));
}
