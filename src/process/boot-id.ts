import { readFile } from 'node:fs/promises';

/** Which start of this machine it is; null where the system does not tell. */
export const bootId = async (): Promise<string | null> =>
  (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => null))?.trim() ?? null;
