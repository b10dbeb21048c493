import { mkdir, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { taskFoldersIn, taskFolder } from '../../src/task-folder/task-folder.js';
import { testFolder } from '../support/folders.js';

test('the owner of a folder is in task.json, else process.json, else its name', async () => {
  const dataDir = await testFolder();
  const left = async (taskId: string, files: Record<string, unknown> = {}) => {
    const { root } = taskFolder(dataDir, taskId);
    await mkdir(root, { recursive: true });
    for (const [name, content] of Object.entries(files))
      await writeFile(`${root}/${name}`, typeof content === 'string' ? content : JSON.stringify(content));
  };
  await left('plain');
  await left('ticket/123', { 'task.json': { ref: { taskId: 'ticket/123' } } });
  await left('repo:branch', { 'task.json': '{"ref":', 'process.json': { taskId: 'repo:branch' } });
  await left('夜', { 'process.json': 'null' });
  // One that says it is another task's is not believed.
  await left('mine', { 'task.json': { ref: { taskId: 'yours' } }, 'process.json': { taskId: 7 } });
  await mkdir(`${dataDir}/tasks/.hidden`);

  const found = await taskFoldersIn(dataDir);
  const owners = Object.fromEntries(found.map(({ name, taskId }) => [name, taskId]));
  const nameOf = (taskId: string) => taskFolder(dataDir, taskId).name;
  expect(owners).toEqual({
    plain: 'plain',
    [nameOf('ticket/123')]: 'ticket/123',
    [nameOf('repo:branch')]: 'repo:branch',
    [nameOf('夜')]: nameOf('夜'),
    mine: 'mine',
  });
  expect(found.map(({ root }) => root).sort()).toEqual(
    Object.keys(owners)
      .map((name) => `${dataDir}/tasks/${name}`)
      .sort(),
  );
});

test('a missing data folder has no tasks', async () => {
  expect(await taskFoldersIn(`${await testFolder()}/none`)).toEqual([]);
});
