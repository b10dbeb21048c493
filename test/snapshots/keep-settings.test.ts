import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { NO_KEYS, parseKeys } from '../../src/codec/key-list.js';
import type { HostContext } from '../../src/session/model/host-context.js';
import { restoreSnapshot } from '../../src/snapshots/restore-snapshot.js';
import { takeSnapshot } from '../../src/snapshots/take-snapshot.js';
import { findSnapshot } from '../../src/store/snapshots.js';
import { parseTaskInput } from '../../src/input/parse-task-input.js';
import { useStore } from '../store/support.js';
import { keepSettings, restoredSettings } from '../../src/snapshots/keep-settings.js';
import { taskFolder, type TaskFolder } from '../../src/task-folder/task-folder.js';
import { testFolder } from '../support/folders.js';

const use = useStore();

const CONFIG = '[mcp_servers.a]\ncommand = "x"\nenv = { TOKEN = "marked" }\n';
const keysOf = (id: string) => parseKeys(`${id}:${randomBytes(32).toString('base64')}`)!;

async function task(config = CONFIG): Promise<TaskFolder> {
  const folder = taskFolder(await testFolder(), 't');
  await mkdir(folder.codexHome, { recursive: true });
  await writeFile(join(folder.codexHome, 'config.toml'), config);
  return folder;
}

/** The settings with which a task goes on that is restored from what was kept of `from`. */
async function restored(from: TaskFolder, keys = NO_KEYS) {
  const warnings: string[] = [];
  const { keptSettings, keptSecrets } = from;
  const to = await task(await readFile(keptSettings, 'utf8'));
  await rename(keptSecrets, to.keptSecrets).catch(() => undefined);
  const settings = await restoredSettings(to, keys, { seed: null, codexConfig: {} }, warnings);
  return { settings, warnings };
}

const bytes = (path: string) => readFile(path, 'latin1').catch(() => '');

test('secrets of the settings are kept encrypted with a key and restored', async () => {
  const keys = keysOf('k1');
  const folder = await task();
  await keepSettings(folder, keys);
  expect((await bytes(folder.keptSettings)) + (await bytes(folder.keptSecrets))).not.toContain('marked');
  const { settings, warnings } = await restored(folder, keys);
  expect(settings).toContain('TOKEN = "marked"');
  expect(warnings).toEqual([]);
});

test.each([
  ['there is no key', NO_KEYS, NO_KEYS],
  ['their key is not there any more', keysOf('k1'), keysOf('k2')],
])(
  'secrets of the settings are left out, with a warning that names them, when %s',
  async (_when, before, after) => {
    const folder = await task();
    await keepSettings(folder, before);
    const { settings, warnings } = await restored(folder, after);
    expect(settings).not.toContain('TOKEN');
    expect(warnings).toEqual([expect.stringContaining('mcp_servers.a.env.TOKEN') as string]);
  },
);

test('secrets open only with their own settings, so that nobody can send them elsewhere', async () => {
  const keys = keysOf('k1');
  const folder = await task();
  await keepSettings(folder, keys);
  const changed = (await readFile(folder.keptSettings, 'utf8')).replace('"x"', '"y"');
  await writeFile(folder.keptSettings, changed);
  expect((await restored(folder, keys)).settings).not.toContain('marked');
});

test('a snapshot is taken without the secrets when they cannot be written', async () => {
  const folder = await task();
  await mkdir(folder.work);
  await writeFile(join(folder.work, 'a'), 'work');
  await keepSettings(folder, NO_KEYS);
  await rm(folder.keptSettings);
  await symlink('elsewhere', folder.keptSettings);
  const host = {
    config: { dataDir: dirname(dirname(folder.root)) },
    store: use.store,
    log: pino({ enabled: false }),
  } as unknown as HostContext;
  const { snapshot: settings } = parseTaskInput({}, 't');
  const ref = { taskId: 't', runId: 'r', assignmentId: 's' };
  const call = { request: 'q' };
  const { snapshotId } = await takeSnapshot(
    host,
    { ref, settings: { ...settings, key: 'k' }, kind: 'end', endState: 'done', threadId: null },
    call,
  );
  const to = taskFolder(await testFolder(), 't');
  await mkdir(to.root, { recursive: true });
  await restoreSnapshot(use.store, (await findSnapshot(use.store, snapshotId))!, to);
  expect(await readFile(join(to.work, 'a'), 'utf8')).toBe('work');
  expect(await bytes(join(to.codexHome, 'config.toml'))).toBe('');
});

test('unchanged settings are not written again, and removed ones are removed', async () => {
  const keys = keysOf('k1');
  const folder = await task();
  const state = async () => Promise.all([folder.keptSettings, folder.keptSecrets].map((path) => stat(path)));
  await keepSettings(folder, keys);
  const before = await state();
  await keepSettings(folder, keys);
  expect((await state()).map(({ ctimeMs }) => ctimeMs)).toEqual(before.map(({ ctimeMs }) => ctimeMs));
  await writeFile(join(folder.codexHome, 'config.toml'), 'model = "m"\n');
  await keepSettings(folder, keys);
  await expect(stat(folder.keptSecrets)).rejects.toThrow('ENOENT');
});
