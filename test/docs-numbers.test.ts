import { expect, test } from 'vitest';
import { read } from './support/documents.js';

/** A constant of the code, and what a document says of it. */
const NUMBERS: readonly (readonly [source: string, constant: string, document: string, sentence: string])[] =
  [
    ['server/stream-bound.ts', 'MOST = 500', 'docs/listener.md', 'At most 500 streams'],
    ['server/event-stream.ts', 'PING_MS = 15_000', 'docs/listener.md', '`: ping` after 15 s'],
    ['server/event-stream.ts', 'FIRST_READ_BYTES = 512 * 1024', 'docs/listener.md', 'about 512 KiB at most'],
    [
      'server/listen.ts',
      'HEADERS_MS = 10_000',
      'docs/listener.md',
      'The head of a request is awaited for 10 s',
    ],
    [
      'server/silent-body.ts',
      'SILENT_MS = 60_000',
      'docs/listener.md',
      'after a minute of which nothing comes',
    ],
    ['server/strangers.ts', 'MOST = 10_000', 'docs/listener.md', '10,000 at most'],
    [
      'server/refused-body.ts',
      'known: 64 * 1024 * 1024, stranger: 16 * 1024 * 1024',
      'docs/listener.md',
      '64 MiB are passed over (16 without a credential), for 10 s at most',
    ],
    ['server/json-body.ts', "BODY_LIMIT = '8mb'", 'docs/listener.md', 'up to 8 MiB'],
    ['server/answer.ts', "'Retry-After': '2'", 'docs/listener.md', '`Retry-After: 2`'],
    ['server/send-route.ts', 'MAX_ID_CHARACTERS = 256', 'docs/listener.md', '`messageId`: 1 to 256'],
    ['server/send-route.ts', 'MAX_IMAGES = 100', 'docs/listener.md', '`images`: at most 100'],
    ['server/upload-route.ts', 'MAX_FILES = 100', 'docs/listener.md', 'more than 100 files, or 10 times'],
    ['server/upload-route.ts', 'MAX_SHARE = 10', 'docs/listener.md', 'more than 100 files, or 10 times'],
    ['session/end-task.ts', 'STREAMS_END_MS = 5_000', 'docs/listener.md', 'it has 5 s for the rest'],
    [
      'session/records/file-journal.ts',
      'SYNC_MS = 1_000',
      'docs/listener.md',
      'the disk has it within about a second',
    ],
    ['session/records/event-ids.ts', 'ID_BLOCK = 10_000', 'ARCHITECTURE.md', 'rounded up to the next 10,000'],
    ['workflows/permission-desk.ts', 'EARLY_MS = 5_000', 'ARCHITECTURE.md', 'waits 5 s for'],
    ['workflows/steps.ts', "CLAIM_WAIT = '40s'", 'ARCHITECTURE.md', 'Nobody within 40 s'],
    ['workflows/steps.ts', 'HOST_GRACE = 0.75', 'ARCHITECTURE.md', 'within three quarters of the TTL'],
    [
      'workflows/insist.ts',
      'GIVE_UP_MS = 300_000',
      'ARCHITECTURE.md',
      'after 5 minutes the task goes on at another host',
    ],
    ['workflows/insist.ts', 'GIVE_UP_MS = 300_000', 'docs/snapshots.md', 'is tried for five minutes'],
    ['workflows/insist.ts', 'FIRST_ATTEMPTS = 2', 'ARCHITECTURE.md', 'from its third attempt'],
    ['workflows/restarts.ts', 'HOST_RETURNS_MS = 150_000', 'ARCHITECTURE.md', 'in teardown: 150 s'],
    ['workflows/wait-for-credential.ts', 'LAST_WAIT_MS = 300_000', 'ARCHITECTURE.md', 'at most every 5 min'],
    ['store/waiters.ts', 'TAKES_MS = 2_500', 'ARCHITECTURE.md', 'again after 2.5 s'],
    ['session/host-lease.ts', 'RENEWALS = 6', 'ARCHITECTURE.md', 'renewed every TTL/6'],
    [
      'session/account/renew-task-lease.ts',
      'DETACHED_MS = 600_000',
      'README.md',
      'leases last 10 minutes then',
    ],
    ['session/stop-sessions.ts', 'SAVE_MS = 15_000', 'docs/account.md', 'asked for 15 s'],
    [
      'session/account/account-guard.ts',
      'BARRIER_MS = 15_000',
      'ARCHITECTURE.md',
      'wait up to 15 s for a refresh',
    ],
    ['codex/auth-json.ts', 'AHEAD_MS = 15 * 60_000', 'docs/account.md', 'Tokens that end within 15 minutes'],
    ['codex/auth-json.ts', 'STALE_MS = 8 * 24 * 3_600_000', 'docs/verify.md', 'is 8 days old'],
    ['session/host-fitness.ts', 'FIRST_PAUSE_MS = 5_000', 'ARCHITECTURE.md', 'pauses of 5 s to 5 minutes'],
    ['session/host-fitness.ts', 'LAST_PAUSE_MS = 300_000', 'ARCHITECTURE.md', 'pauses of 5 s to 5 minutes'],
    ['session/records/losses.ts', 'MAX_LOSSES = 3', 'ARCHITECTURE.md', 'Three ends without a completed turn'],
    [
      'session/records/losses.ts',
      'MAX_JOINT_LOSSES = 10',
      'ARCHITECTURE.md',
      'ten when the worker ended with it',
    ],
    ['session/keep-store.ts', 'GONE_MS = 24 * 3_600_000', 'ARCHITECTURE.md', 'right ended 24 h ago'],
    ['session/checkpoint.ts', 'MAX_CHECKPOINT_MS = 960_000', 'docs/snapshots.md', 'up to 16 minutes'],
    [
      'session/snapshots/archive-task.ts',
      'MAX_BYTES = 64n * 1024n ** 3n',
      'docs/snapshots.md',
      'above 64 GiB of content',
    ],
    [
      'session/snapshots/archive-task.ts',
      'MAX_ENTRIES = 5_000_000',
      'docs/snapshots.md',
      'more than 5,000,000 entries',
    ],
    ['session/snapshots/plan-snapshot.ts', 'MAX_BLOBS = 8', 'docs/snapshots.md', 'the ninth\nblob'],
    [
      'session/snapshots/snapshot-manifest.ts',
      'MAX_MEMBERS = 100_000',
      'docs/snapshots.md',
      'over 100,000 changes',
    ],
    [
      'session/snapshots/restore-snapshot.ts',
      'MAX_RATIO = 200',
      'docs/snapshots.md',
      'more than 200 times its own size',
    ],
    ['store/swap-blob.ts', 'MAX_PREVIOUS_BLOBS = 3', 'docs/seeds.md', 'the last three credentials it held'],
    ['store/collect.ts', 'ORPHAN_GRACE_MS = 24 * 3_600_000', 'docs/seeds.md', 'older than 24 hours'],
    ['store/hold-seed.ts', 'UNREADABLE_MS = 5 * 60_000', 'docs/seeds.md', 'could not be read (5 min)'],
    ['store/hold-seed.ts', 'LOCKED_MS = 30_000', 'docs/seeds.md', 'missing on a worker (30 s)'],
    ['workflows/hooks.ts', 'ATTEMPT_MS = 600_000', 'docs/hooks.md', 'An attempt may take 10 minutes'],
    ['workflows/hooks.ts', 'ATTEMPTS = 10', 'docs/hooks.md', 'tried 10 times in all'],
    ['workflows/judge.ts', 'ATTEMPTS = 3', 'docs/hooks.md', '`onPermissionRequest` three times'],
    [
      'session/errands/host-protocol.ts',
      'MAX_ERRANDS = 500',
      'docs/hooks.md',
      'at most 500 files and messages',
    ],
    ['session/records/log-tail.ts', 'MAX_LINE_BYTES = 32 * 1024', 'docs/hooks.md', 'a line over 32 KiB'],
    [
      'session/records/log-tail.ts',
      'MAX_BACKLOG_BYTES = 16 * 1024 * 1024',
      'docs/hooks.md',
      'a backlog over 16 MiB',
    ],
    [
      'session/conversation/turn-line.ts',
      'GRACE_MS = 30_000',
      'docs/hooks.md',
      'leave the running turn 30 s',
    ],
    [
      'session/conversation/network-wait.ts',
      'PATIENCE_MS = 60_000',
      'docs/deployment.md',
      'hears nothing from its provider for a\nminute',
    ],
    [
      'workflows/verify-pool.ts',
      'SEEDS_PER_RUN = 200',
      'docs/verify.md',
      'the 200 seeds verified longest ago',
    ],
    ['workflows/verify-pool.ts', 'JITTER_MS = 30_000', 'docs/verify.md', 'up to 30 s lie between two seeds'],
    ['workflows/verify-pool.ts', "initialInterval: '75s'", 'docs/verify.md', 'tries again after 75 s'],
    ['workflows/many-signals.ts', 'MANY = 100', 'ARCHITECTURE.md', 'From 100 in one task on'],
    [
      'host-workers.ts',
      "stickyQueueScheduleToStartTimeout: '1s'",
      'ARCHITECTURE.md',
      'sticky queue’s timeout is 1 s',
    ],
    ['config.ts', 'MIN_FREE_BYTES = 256 * 1024 * 1024', 'README.md', '`268435456`'],
  ];

const plain = (text: string) => text.replace(/\s+/g, ' ').replaceAll('’', "'");

test.each(NUMBERS)('%s, %s: %s says “%s”', (source, constant, document, sentence) => {
  expect(plain(read(`src/${source}`))).toContain(plain(constant));
  expect(plain(read(document))).toContain(plain(sentence));
});
