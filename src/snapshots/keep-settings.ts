import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { constants } from 'node:fs';
import { join } from 'node:path';
import { keptSettings, settingsOfSnapshot, type Givers } from '../codex/kept-settings.js';
import { open, seal, type SeedKeys } from '../store/cipher.js';
import { readOwnFile, writeOwnFile } from '../task-folder/own-file.js';
import type { TaskFolder } from '../task-folder/task-folder.js';

/**
 * Writes next to a task's home what its snapshots keep of its settings: those without a secret, and the secrets
 * encrypted with the key of seeds; without such a key there are none. What is as it was stays untouched, so that a
 * checkpoint finds it unchanged.
 */
export async function keepSettings(folder: TaskFolder, keys: SeedKeys): Promise<void> {
  const configToml = await readOwnFile(join(folder.codexHome, 'config.toml'));
  const kept = configToml === null ? null : keptSettings(configToml);
  const settings = kept?.settings ?? null;
  if (settings !== (await readOwnFile(folder.keptSettings))) await put(folder.keptSettings, settings);
  const secrets = keys.writes && settings !== null ? (kept?.secrets ?? null) : null;
  const isSame = secrets !== null && secrets === (await sealedSecrets(folder, keys, settings ?? ''));
  if (isSame) return;
  const sealed = secrets === null ? null : seal(keys, Buffer.from(secrets), placeOf(settings ?? ''));
  await put(folder.keptSecrets, sealed);
}

/** Removes both: what is there may be incomplete. */
export async function dropSettings({ keptSettings, keptSecrets }: TaskFolder): Promise<void> {
  for (const path of [keptSettings, keptSecrets]) await put(path, null);
}

/** The settings with which a restored task continues; null: its snapshot has none. */
export async function restoredSettings(
  folder: TaskFolder,
  keys: SeedKeys,
  givers: Omit<Givers, 'sealed'>,
  warnings: string[],
): Promise<string | null> {
  const configToml = await readOwnFile(join(folder.codexHome, 'config.toml'));
  if (configToml === null) return null;
  const sealed = await sealedSecrets(folder, keys, configToml);
  return settingsOfSnapshot(configToml, { ...givers, sealed }, warnings);
}

/** The secrets that were kept with these settings; null: there are none, or none that can be read here. */
async function sealedSecrets(folder: TaskFolder, keys: SeedKeys, settings: string): Promise<string | null> {
  const flag = constants.O_RDONLY | constants.O_NOFOLLOW;
  const sealed = await readFile(folder.keptSecrets, { flag }).catch(() => null);
  if (sealed === null) return null;
  try {
    return open({ ...keys, only: true }, sealed, placeOf(settings), 'Secrets of a snapshot').bytes.toString();
  } catch {
    return null;
  }
}

/** They open only with the settings that they were taken from: other settings could send them elsewhere. */
const placeOf = (settings: string): string =>
  `secrets of settings ${createHash('sha256').update(settings).digest('hex')}`;

const put = (path: string, content: string | Buffer | null): Promise<void> =>
  content === null ? rm(path, { force: true }) : writeOwnFile(path, content);
