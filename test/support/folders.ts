import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { processFolder } from './run-root.js';

/** A fresh folder (0700), removed at the end of the test that calls it. */
export async function testFolder(): Promise<string> {
  const { path, remove } = await makeFolder();
  onTestFinished(remove);
  return path;
}

/** The same for hooks, where the caller removes it. */
export async function makeFolder(): Promise<{ path: string; remove: () => Promise<void> }> {
  await mkdir(processFolder(), { recursive: true, mode: 0o700 });
  const path = await mkdtemp(join(processFolder(), 't-'));
  return { path, remove: () => rm(path, { recursive: true, force: true, maxRetries: 3 }) };
}
