import { constants } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';

const { O_RDONLY, O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;

/** Writes a file of the host's own in a task's home, never through a link. @throws the system's error */
export const writeOwnFile = (path: string, content: string | Uint8Array): Promise<void> =>
  writeFile(path, content, { mode: 0o600, flag: O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW });

/** The text of such a file; null when it is not there or a link. */
export const readOwnFile = (path: string): Promise<string | null> =>
  readFile(path, { encoding: 'utf8', flag: O_RDONLY | O_NOFOLLOW }).catch(() => null);

/**
 * Replaces a record of the host's own: a reader finds the old or the new one, whole.
 * @throws the system's error; the old one stays then
 */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  await writeFile(`${path}.new`, content, { mode: 0o600 });
  await rename(`${path}.new`, path);
}
