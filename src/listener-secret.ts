import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, open, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { TaskError } from './errors.js';

const MIN_SECRET_CHARS = 32;

/** Where the secret lies when the environment gives none. */
export const listenerSecretFile = (dataDir: string): string => join(dataDir, 'listener-secret');

/**
 * The listener's secret: the given one, else that of the data folder, made at the first start (0600).
 * The file holds it afterwards in both cases. Call it under the data folder's lock.
 * @throws TaskError `BadInput` when the file holds fewer than 32 characters
 */
export async function loadListenerSecret(dataDir: string, given: string | null): Promise<string> {
  const file = listenerSecretFile(dataDir);
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  if (given !== null) {
    await keepInFile(file, given);
    return given;
  }
  try {
    await access(file);
  } catch {
    await keepInFile(file, randomBytes(32).toString('base64url'));
  }
  return readListenerSecret(dataDir);
}

/**
 * In place: the sandboxes of commands that still run hide the file by a mount on it, and Linux drops that mount when
 * another file takes its name.
 */
async function keepInFile(file: string, secret: string): Promise<void> {
  const text = `${secret}\n`;
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
  const opened = await open(file, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  try {
    if ((await opened.readFile('utf8')) === text) return;
    const { bytesWritten } = await opened.write(text, 0);
    await opened.truncate(bytesWritten);
    await opened.sync();
  } finally {
    await opened.close();
  }
}

/** The secret that a worker on this data folder made. @throws TaskError `BadInput` when it is too short */
export async function readListenerSecret(dataDir: string): Promise<string> {
  const file = listenerSecretFile(dataDir);
  const secret = (await readFile(file, 'utf8')).trim();
  if (secret.length >= MIN_SECRET_CHARS) return secret;
  throw new TaskError(
    'BadInput',
    `${file}: expected a secret of at least ${MIN_SECRET_CHARS} characters; remove the file to have one made`,
  );
}

/** Password of one task's listener routes (user `optio`): derived, never stored. */
export const taskPassword = (secret: string, taskId: string): string => derive(secret, taskId);

/** Token of operators: opens the console, the metrics and every task. */
export const operatorToken = (secret: string): string => derive(secret, 'operator');

/** Compares in a time that does not depend on where the texts differ. */
export function sameSecret(a: string, b: string): boolean {
  const digest = (text: string) => createHmac('sha256', 'compare').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

const derive = (secret: string, name: string): string =>
  createHmac('sha256', secret).update(name).digest('base64url');
