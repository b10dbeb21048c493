import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { packageRoot } from '../src/dev/package-root.js';
import { FORMATS, type FormatName } from '../src/formats.js';

/** What puts something where it outlives the process. */
const WRITES =
  /(?<!function )\b(?:writeFile|replaceFile|appendFile|insertOne|insertMany|putBlob|putSecret|openUploadStream|createWriteStream|writeSync)\(|upsert: true|, 'r\+'|, '(?:a|w|wx|a\+)', 0o|\bO_CREAT \|/g;

const OF_FORMAT = /\b(?:versioned\('|FORMATS\.)([a-z]+)/g;

/** Why what a file writes has no version. */
const NOT_OURS = 'of a form that others give: codex, the commands of a task, a caller';
const NAMES = 'one name or secret, or nothing at all';
const CREDENTIAL =
  'an archive or auth.json, whose form Python shares; what is encrypted says with which key and how';
const OVERLOOKED = 'a document each field of which an older worker may overlook';
const PASSES_ON = 'bytes whose form its callers give';

/** By file: how often it writes, and of which formats, or why of none. */
const WRITERS: Record<string, readonly [count: number, formats: readonly FormatName[] | string]> = {
  'codex/codex-log.ts': [2, NOT_OURS],
  'codex/rollouts.ts': [2, NOT_OURS],
  'credentials/keep-seed.ts': [1, CREDENTIAL],
  'credentials/login.ts': [1, CREDENTIAL],
  'credentials/private-codex.ts': [2, NOT_OURS],
  'credentials/verify-seed.ts': [1, ['task']],
  'guard/guard-tasks.ts': [1, 'a log for people'],
  'process/data-folder.ts': [1, NAMES],
  'process/deadline.ts': [1, ['deadline']],
  'process/folder-lock.ts': [1, NAMES],
  'listener-secret.ts': [1, NAMES],
  'session/account/unwritable-home.ts': [2, NAMES],
  'session/agent-channel/deliverables.ts': [1, NOT_OURS],
  'session/agent-channel/protocol-folder.ts': [2, NOT_OURS],
  'session/agent-channel/resume-log.ts': [2, NOT_OURS],
  'task-folder/fenced-process.ts': [1, ['fenced']],
  'task-folder/task-manifest.ts': [1, ['task']],
  'task-folder/ledger-file.ts': [3, 'lines that its caller makes, which says their version'],
  'task-folder/ledger.ts': [1, ['ledger']],
  'journal/mend-segment.ts': [2, 'bytes of segments, which its caller names'],
  'task-folder/own-file.ts': [
    3,
    'files of codex, and records that their callers make, which say their version',
  ],
  'task-folder/process-record.ts': [1, ['process']],
  'session/recall/recall-checkpoint.ts': [1, ['recall']],
  'journal/segments.ts': [3, ['segments']],
  'session/task/restore-task.ts': [2, 'what parts have, into ledger and segments'],
  'session/task/save-task.ts': [2, 'bytes of ledger and segments, which parts name'],
  'workdir/place-files.ts': [2, NOT_OURS],
  'snapshots/snapshot-manifest.ts': [1, ['manifest']],
  'workdir/store-upload.ts': [2, NOT_OURS],
  'snapshots/take-snapshot.ts': [1, NOT_OURS],
  'snapshots/unpack-archive.ts': [3, NOT_OURS],
  'store/blob-fence.ts': [1, OVERLOOKED],
  'store/blobs.ts': [1, PASSES_ON],
  'store/captured-seed.ts': [1, CREDENTIAL],
  'store/encrypted-only.ts': [1, OVERLOOKED],
  'store/hosts.ts': [1, ['host']],
  'store/insert-seed.ts': [2, ['seed']],
  'store/kept-texts.ts': [1, 'JSON of the input and of what waits, which the workflow judges as it does any'],
  'store/quarantine.ts': [2, ['quarantine']],
  'store/rekey.ts': [3, CREDENTIAL],
  'store/restore.ts': [1, CREDENTIAL],
  'store/secret-blobs.ts': [1, CREDENTIAL],
  'store/seeds.ts': [1, CREDENTIAL],
  'store/settle-quarantine.ts': [1, CREDENTIAL],
  'store/snapshot-blobs.ts': [2, OVERLOOKED],
  'store/snapshots.ts': [1, ['snapshot']],
  'store/assignments.ts': [1, ['assignment']],
  'store/task-state.ts': [3, ['part', 'message', 'mark']],
  'store/waiters.ts': [1, ['waiter']],
};

it('every kept format has a version, or a reason why it has none', async () => {
  const found: Record<string, number> = {};
  const unlike: string[] = [];
  const root = join(packageRoot, 'src');
  for (const path of (await readdir(root, { recursive: true })).sort()) {
    if (!path.endsWith('.ts') || /^(dev|cli)\//.test(path)) continue;
    const text = await readFile(join(root, path), 'utf8');
    const count = [...text.matchAll(WRITES)].length;
    if (count > 0) found[path] = count;
    const formats = WRITERS[path]?.[1] ?? [];
    const used = new Set([...text.matchAll(OF_FORMAT)].map(([, name]) => name));
    if (typeof formats !== 'string')
      unlike.push(...formats.filter((name) => !used.has(name)).map((name) => `${path} writes no ${name}`));
  }
  expect(found).toEqual(Object.fromEntries(Object.entries(WRITERS).map(([path, [count]]) => [path, count])));
  expect(unlike).toEqual([]);
});

it('every format has a writer', () => {
  const written = Object.values(WRITERS).flatMap(([, formats]) =>
    typeof formats === 'string' ? [] : formats,
  );
  expect([...new Set(written)].sort()).toEqual(Object.keys(FORMATS).sort());
});
