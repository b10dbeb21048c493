import type { LeaseRef } from '../../contract/activities.js';
import { TaskError } from '../../errors.js';
import { takeSeed } from '../../store/fit-seed.js';
import { fingerprint } from '../../store/seed-archive.js';
import { writeOwnFile } from '../../task-folder/own-file.js';
import type { TaskFolder } from '../../task-folder/task-folder.js';
import type { AccountPorts } from '../model/account-ports.js';

/**
 * Writes the seed's files into Codex's home; with `withoutAuth` no refresh token touches this disk.
 * @throws TaskError `LeaseRefused` for a seed that is unreadable here or whose login is in another one: it is
 * released and held for a while, or until that is settled
 */
export async function installCredential(
  host: Pick<AccountPorts, 'store' | 'log'>,
  lease: LeaseRef,
  folder: TaskFolder,
  withoutAuth: boolean,
) {
  const found = await takeSeed(host.store, lease);
  if ('unfit' in found) {
    host.log.warn({ seedId: lease.seedId, reason: found.unfit }, 'seed.unfit');
    throw new TaskError('LeaseRefused', `Seed ${lease.seedId} cannot be used: ${found.unfit}`);
  }
  const { authJson, configToml } = found;
  if (!withoutAuth) await writeOwnFile(folder.authJson, authJson);
  return {
    configToml: configToml?.toString('utf8') ?? null,
    fingerprint: withoutAuth ? null : fingerprint(authJson),
  };
}
