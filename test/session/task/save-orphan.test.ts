import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { writeTaskManifest } from '../../../src/task-folder/task-manifest.js';
import { saveOrphan } from '../../../src/session/task/save-orphan.js';
import { takeSnapshot } from '../../../src/snapshots/take-snapshot.js';
import { listSnapshots } from '../../../src/store/snapshots.js';
import { databaseNow } from '../../../src/store/mongo.js';
import { beginAssignment } from '../../../src/store/assignments.js';
import { parseTaskInput } from '../../../src/input/parse-task-input.js';
import { useStore } from '../../store/support.js';
import { hostOf } from '../host/orphans-support.js';

const use = useStore();
const spec = parseTaskInput({ credential: { none: true } }, 't');
const REF = { taskId: 't', runId: 'r', assignmentId: 'first' };

/** What an assignment left on its host, with work in it. */
async function left() {
  const { host, dataDir, folderOf } = await hostOf({ store: use.store });
  const folder = folderOf('t');
  for (const path of [folder.work, folder.codexHome, folder.journal]) await mkdir(path, { recursive: true });
  await writeFile(folder.ledger, '{"t":"thread","threadId":"T","model":null}\n');
  await writeFile(join(folder.work, 'made'), 'by the agent');
  const begunAt = (await databaseNow(use.store)).toISOString();
  await writeTaskManifest(folder, { ref: REF, spec, lease: null, begunAt });
  const expectSetAside = async () => {
    const [kept] = await readdir(join(dataDir, 'unsaved'));
    expect(await readFile(join(dataDir, 'unsaved', kept!, 'work', 'made'), 'utf8')).toBe('by the agent');
  };
  return { host, folder, expectSetAside };
}

const end = { settings: spec.snapshot, kind: 'end', endState: 'done', threadId: 'T' } as const;

test('an orphan is saved as failed, even over ends before its assignment', async () => {
  const earlier = await left();
  await takeSnapshot(earlier.host, { ref: REF, ...end }, { request: 'earlier' });
  const { host, folder } = await left();
  await saveOrphan(host, folder);
  expect((await listSnapshots(use.store, 't')).map(({ endState }) => endState)).toEqual(['failed', 'done']);
});

test('an orphan is set aside when its key has a later end', async () => {
  const { host, folder, expectSetAside } = await left();
  const other = await left();
  await takeSnapshot(other.host, { ref: REF, ...end }, { request: 'other' });
  await saveOrphan(host, folder);
  expect(await listSnapshots(use.store, 't')).toMatchObject([{ endState: 'done' }]);
  await expectSetAside();
});

test('an orphan is set aside when another assignment has the task', async () => {
  const { host, folder, expectSetAside } = await left();
  await beginAssignment(use.store, { ...REF, assignmentId: 'second', hostId: 'elsewhere', ordinal: 0 });
  await saveOrphan(host, folder);
  expect(await listSnapshots(use.store, 't')).toEqual([]);
  await expectSetAside();
});
