import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { listenerSecretFile, loadListenerSecret, readListenerSecret } from '../src/listener-secret.js';
import { testFolder } from './support/folders.js';

const inodeOf = async (dataDir: string) => (await stat(listenerSecretFile(dataDir))).ino;

test('a start rewrites the secret file only when it changes, as sandboxes hide it', async () => {
  const dataDir = join(await testFolder(), 'data');
  const first = 'a'.repeat(50);
  expect(await loadListenerSecret(dataDir, first)).toBe(first);
  const inode = await inodeOf(dataDir);
  const { ctimeMs, mode } = await stat(listenerSecretFile(dataDir));
  expect(mode & 0o777).toBe(0o600);
  await loadListenerSecret(dataDir, first);
  expect((await stat(listenerSecretFile(dataDir))).ctimeMs).toBe(ctimeMs);
  const shorter = 'b'.repeat(40);
  await loadListenerSecret(dataDir, shorter);
  expect(await readFile(listenerSecretFile(dataDir), 'utf8')).toBe(`${shorter}\n`);
  expect(await inodeOf(dataDir)).toBe(inode);
});

test('a secret is made once when none is given, and a short one is rejected', async () => {
  const dataDir = join(await testFolder(), 'data');
  const made = await loadListenerSecret(dataDir, null);
  expect(made.length).toBeGreaterThanOrEqual(32);
  expect(await loadListenerSecret(dataDir, null)).toBe(made);
  expect(await readListenerSecret(dataDir)).toBe(made);
  await writeFile(listenerSecretFile(dataDir), 'short\n');
  await expect(loadListenerSecret(dataDir, null)).rejects.toMatchObject({ code: 'BadInput' });
});
