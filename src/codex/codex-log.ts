import { open, readFile, rename, truncate, writeFile, type FileHandle } from 'node:fs/promises';

/** Opens a fresh log for a codex that is about to start; the one before stays as `<file>.old`. */
export async function openLog(file: string): Promise<FileHandle> {
  await rename(file, `${file}.old`).catch(() => undefined);
  // Appending writers continue at the end when `trimLog` cuts the file under them.
  return open(file, 'a', 0o600);
}

/**
 * Keeps the end of a log that grew over `maxBytes`, half of that size. Codex writes at its own pace and there
 * is no limit of the system that would spare its other files, so the owner of the task calls this now and
 * then; lines written while it runs may be lost. Without RUST_LOG codex writes a few lines a day.
 */
export async function trimLog(file: string, maxBytes = 1024 * 1024): Promise<void> {
  const content = await readFile(file).catch(() => undefined);
  if (!content || content.length <= maxBytes) return;
  await truncate(file, 0);
  await writeFile(file, content.subarray(-Math.floor(maxBytes / 2)), { flag: 'a' });
}

/** The last lines, without terminal colours and with secrets masked: the given ones and what looks like one. */
export async function lastLines(
  file: string,
  count: number,
  secrets: readonly string[] = [],
): Promise<string> {
  const content = await readFile(file, 'utf8').catch(() => '');
  const lines = content.slice(-MAX_REPORTED_CHARS).replace(ANSI, '').trimEnd().split('\n').slice(-count);
  return maskSecrets(lines.join('\n'), secrets);
}

const MAX_REPORTED_CHARS = 4_096;

const ANSI = /\x1b\[[0-9;]*[A-Za-z]/g;
/** Keys, JSON web tokens, bearer headers, passwords in URLs. */
const LOOKS_SECRET =
  /\bsk-[\w-]{8,}|\beyJ[\w-]+\.[\w-]+(\.[\w-]+)?|(?<=\bbearer\s+)\S+|(?<=:\/\/)[^\s/@]+(?=@)/gi;
/** Shorter values would mask ordinary words. */
const MIN_SECRET_CHARS = 8;

/** Masks the given values, and what looks like a secret. */
export function maskSecrets(text: string, secrets: readonly string[]): string {
  const given = secrets.filter((secret) => secret.length >= MIN_SECRET_CHARS);
  return given
    .reduce((masked, secret) => masked.replaceAll(secret, '***'), text)
    .replace(LOOKS_SECRET, '***');
}
