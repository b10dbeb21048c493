import { constants } from 'node:fs';
import { open, readdir, rename, rm, utimes, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { BUILT_IN_PROVIDER } from './api-key.js';
import { isRecord } from './narrow.js';

/** Longer than what names a provider: the first line holds the model's instructions. Bytes. */
const MAX_LINE = 16 * 1024 * 1024;
const CHUNK = 64 * 1024;

/**
 * Moves the threads of a stopped codex to another provider. A resumed thread asks the provider that its rollout names,
 * whatever the configuration says, and codex refuses to give it another one. A line that cannot be read is left as it
 * is.
 * @param codexHome codex's home, restored from a snapshot
 * @param provider a key of `model_providers`, or `BUILT_IN_PROVIDER`
 * @returns how many rollouts named another one
 * @throws what the disk says
 */
export async function moveThreads(codexHome: string, provider: string): Promise<number> {
  let moved = 0;
  const folders = (await readdir(codexHome, { withFileTypes: true })).filter(
    (entry) => entry.isDirectory() && ['sessions', 'archived_sessions'].includes(entry.name),
  );
  for (const { name } of folders)
    for (const path of await rolloutsIn(join(codexHome, name))) if (await moveThread(path, provider)) moved++;
  return moved;
}

/** Links are followed nowhere: what a snapshot brings may be crafted. */
async function rolloutsIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) found.push(...(await rolloutsIn(path)));
    else if (entry.isFile() && /^rollout-.*\.jsonl$/.test(entry.name)) found.push(path);
  }
  return found;
}

async function moveThread(path: string, provider: string): Promise<boolean> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    if (!(await namesAnother(file, provider))) return false;
    const beside = `${path}.moving`;
    await rm(beside, { force: true });
    const copy = await open(beside, 'wx', 0o600);
    try {
      for await (const line of linesOf(file)) await copy.appendFile(withProvider(line, provider) ?? line);
      await copy.sync();
    } finally {
      await copy.close();
    }
    // Codex orders threads by it.
    const { atime, mtime } = await file.stat();
    await utimes(beside, atime, mtime);
    await rename(beside, path);
    return true;
  } finally {
    await file.close();
  }
}

async function namesAnother(file: FileHandle, provider: string): Promise<boolean> {
  for await (const line of linesOf(file)) if (withProvider(line, provider) !== null) return true;
  return false;
}

/** Lines with their ends, the last one perhaps without; one that is longer than those of codex comes in pieces. */
async function* linesOf(file: FileHandle): AsyncGenerator<Buffer> {
  let line: Buffer = Buffer.alloc(0);
  for (let at = 0; ;) {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(CHUNK), 0, CHUNK, at);
    if (bytesRead === 0) break;
    at += bytesRead;
    let rest = buffer.subarray(0, bytesRead);
    for (let end = rest.indexOf('\n'); end !== -1; end = rest.indexOf('\n')) {
      yield Buffer.concat([line, rest.subarray(0, end + 1)]);
      line = Buffer.alloc(0);
      rest = rest.subarray(end + 1);
    }
    line = Buffer.concat([line, rest]);
    if (line.length < MAX_LINE) continue;
    yield line;
    line = Buffer.alloc(0);
  }
  if (line.length > 0) yield line;
}

/** The line with that provider; null when it names none, or this one already. */
function withProvider(line: Buffer, provider: string): string | null {
  if (!line.includes('"session_meta"') && !line.includes('"model_provider_id"')) return null;
  try {
    const read: unknown = JSON.parse(line.toString('utf8'));
    if (!isRecord(read) || !isRecord(read['payload'])) return null;
    const { payload } = read;
    const { thread_settings: settings } = payload;
    const moved = { ...payload };
    if (read['type'] === 'session_meta' && (payload['model_provider'] ?? BUILT_IN_PROVIDER) !== provider)
      moved['model_provider'] = provider;
    else if (
      isRecord(settings) &&
      'model_provider_id' in settings &&
      settings['model_provider_id'] !== provider
    )
      moved['thread_settings'] = { ...settings, model_provider_id: provider };
    else return null;
    return `${JSON.stringify({ ...read, payload: moved })}\n`;
  } catch {
    return null;
  }
}
