import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { noteBegun, readTaskManifest, readOwner } from '../../src/task-folder/task-manifest.js';
import type { TaskFolder } from '../../src/task-folder/task-folder.js';
import { makeFolder } from '../support/folders.js';

it('names the task of a folder, and refuses to read what a newer worker wrote', async () => {
  const folder = await makeFolder();
  try {
    const taskJson = join(folder.path, 'task.json');
    const ref = { taskId: 't', runId: 'r', assignmentId: 's' };
    await noteBegun({ taskJson } as TaskFolder, ref, null);
    expect(await readOwner(taskJson)).toEqual({ ref, lease: null, preparing: true });
    expect(await readTaskManifest(taskJson)).toBeNull();
    const written = JSON.parse(await readFile(taskJson, 'utf8')) as { version: number };
    expect(written.version).toBe(1);
    await writeFile(taskJson, JSON.stringify({ ...written, version: 2 }));
    await expect(readOwner(taskJson)).rejects.toMatchObject({
      code: 'HostUnfit',
      message: expect.stringMatching(/version 2, and this host.s codex-task-worker reads 1/) as string,
    });
    await writeFile(taskJson, '{"ref":');
    expect(await readOwner(taskJson)).toBeNull();
  } finally {
    await folder.remove();
  }
});
