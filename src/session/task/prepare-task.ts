import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { LeaseRef, PrepareArguments } from '../../contract/activities.js';
import { namesForCommandsOnly } from '../../codex/child-environment.js';
import { providerIn, renderConfig } from '../../codex/config-toml.js';
import { moveThreads } from '../../codex/rollouts.js';
import { refuseBadPatterns } from '../../input/patterns.js';
import { TaskError } from '../../errors.js';
import { requireFreeSpace } from '../../host/free-space.js';
import { takeSeed } from '../../store/fit-seed.js';
import { databaseNow } from '../../store/mongo.js';
import { fingerprint } from '../../store/seed-archive.js';
import { composeAgentsMd } from '../agent-channel/agents-md.js';
import type { HostContext } from '../model/host-context.js';
import { ownsTokens } from '../account/host-tokens.js';
import { openAccount } from '../account/task-account.js';
import { requireLease } from '../account/renew-task-lease.js';
import { keepSettings, restoredSettings } from '../../snapshots/keep-settings.js';
import { placeFiles } from '../../workdir/place-files.js';
import { noteGone } from './note-gone.js';
import { isOurs } from './is-ours.js';
import { writeOwnFile } from '../../task-folder/own-file.js';
import { recallEvents } from '../recall/recall-events.js';
import { projectInstructions } from '../agent-channel/project-instructions.js';
import { gitEnvironment } from '../agent-channel/git-author.js';
import { noteStart } from '../agent-channel/resume-log.js';
import { prepareProtocol, protocolEnvironment } from '../agent-channel/protocol-folder.js';
import { openRecords } from './open-records.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { writeTaskManifest, noteBegun, readOwner } from '../../task-folder/task-manifest.js';
import { reapTask } from './reap-task.js';
import { saveOrphan } from './save-orphan.js';
import { findResume, requireRoom, restoreSnapshot } from '../../snapshots/restore-snapshot.js';
import { lostEvents, NOTHING_SAVED_WARNING, restoreTask, takeOver } from './restore-task.js';
import { sandboxHere } from '../agent-channel/sandbox-here.js';
import { endSnapshots } from '../../snapshots/snapshots-under-way.js';
import { takeOverHookRequests } from '../agent-channel/take-over-hook-requests.js';
import {
  endedFolder,
  endedJournal,
  taskFolder,
  unsavedFolder,
  type TaskFolder,
} from '../../task-folder/task-folder.js';
import { watchTask } from './watch-task.js';
import type { TaskSpec } from '../../contract/task-spec.js';

/**
 * Makes the task's folder: codex's home with config and credential, the workdir fresh or restored, the
 * journal. A folder of an earlier run is removed first, its codex too. Idempotent. Between its stages it looks whether
 * the task is to end, which `closeTask` does with what is there by then.
 * @throws TaskError `ClaimLapsed`, `LeaseRefused`, `NoCredential`, `BadInput`, `SnapshotUnreadable`,
 * `HostUnfit` when the disk is full
 */
export async function prepareTask(
  host: HostContext,
  { ref, spec, lease, moved = null }: PrepareArguments,
): Promise<PreparedTask> {
  const known = host.tasks.find(ref.taskId);
  if (known?.ref.assignmentId !== ref.assignmentId)
    throw new TaskError('ClaimLapsed', `Task ${ref.taskId} has no claim on this host any more`);
  if (known.is !== 'claimed') return known.prepared;
  // Each stage may take long, and the end of the task waits for all of them.
  const goOn = () => known.stopping.signal.throwIfAborted();
  goOn();
  refuseBadPatterns(spec.approvals.rules);
  if (lease) await requireLease(host, ref, lease);
  if (lease) watchTask(host, ref, lease);
  await requireFreeSpace(host.config.dataDir, host.config.minFreeBytes);
  const folder = taskFolder(host.config.dataDir, ref.taskId);
  goOn();
  await endSnapshots(folder.root);
  // What an earlier assignment left may hold work and a credential that the database has not.
  if (existsSync(folder.root)) {
    const owner = await readOwner(folder.taskJson);
    const isEarlier = owner?.ref.assignmentId !== ref.assignmentId;
    const keepWork = async () => (isEarlier ? saveOrphan(host, folder) : undefined);
    await reapTask(host, folder, { closingReport: null, keepWork, kept: lease });
    if (owner && isEarlier) await noteGone(host, owner.ref);
  }
  goOn();
  if (!(await isOurs(host, ref, moved)))
    throw new TaskError(
      'ClaimLapsed',
      `Task ${ref.taskId} still has an earlier assignment, which is to end first`,
    );
  const begunAt = (await databaseNow(host.store)).toISOString();
  await rm(endedJournal(host.config.dataDir, ref.taskId), { recursive: true, force: true });
  // The last two must be there to be denied to commands.
  const { dataDir } = host.config;
  const kept = [endedFolder(dataDir), unsavedFolder(dataDir)];
  for (const path of [folder.root, folder.work, folder.codexHome, folder.journal, ...kept])
    await mkdir(path, { recursive: true, mode: 0o700 });
  await noteBegun(folder, ref, lease);
  // Its deadline has a place now.
  if (lease) await requireLease(host, ref, lease);

  goOn();
  const restored = moved && (await restoreTask(host, ref, spec, folder));
  const resumed = restored ?? (spec.resume && (await resume(host, spec.resume, folder)));
  const warnings = moved && !restored ? [NOTHING_SAVED_WARNING] : [];
  if (spec.resume && !resumed) warnings.push(`No snapshot ${JSON.stringify(spec.resume)} yet: started fresh`);
  goOn();
  const seed = lease && (await installCredential(host, lease, folder, ownsTokens(spec)));
  if (spec.hostProtocol) await prepareProtocol(folder.work, restored !== null);
  const isKept = spec.snapshot.checkpoint !== 'off';
  const unnoted = !restored && (resumed || isKept) ? await noteStart(folder.work) : null;
  if (unnoted !== null) warnings.push(unnoted);
  goOn();
  // They are in a restored workdir as the task left them.
  if (!restored) await placeFiles(host.store, folder.work, spec.files);
  const sandbox = sandboxHere(spec.sandbox, host.env);
  const env = { ...gitEnvironment(host.config), ...spec.env };
  const givers = { seed: seed?.configToml ?? null, codexConfig: spec.codexConfig };
  warnings.push(...namesForCommandsOnly(spec.env));
  const settings = resumed && (await restoredSettings(folder, host.store.seedKeys, givers, warnings));
  const config = renderConfig({
    dataDir: host.config.dataDir,
    workDir: folder.work,
    sandbox,
    codexConfig: spec.codexConfig,
    env: { ...protocolEnvironment(spec, folder.work, host.env), ...env },
    workerEnv: host.env,
    codex: host.codex.path,
    commandEnv: host.config.commandEnv,
    passEnv: spec.passEnv,
    ...baseConfig(settings ?? seed?.configToml),
    ...(spec.model !== null && { model: spec.model }),
    ...(spec.effort !== null && { effort: spec.effort }),
    approvals: { policy: spec.approvals.policy },
    apiKey: 'apiKeyEnv' in spec.credential,
    warnings,
  });
  await writeOwnFile(join(folder.codexHome, 'config.toml'), config);
  await keepSettings(folder, host.store.seedKeys);
  if (resumed) await moveThreads(folder.codexHome, providerIn(config));
  // Codex reads its home's only: the workdir is no trusted project, or its `.codex` could change the sandbox.
  const agentsMd = composeAgentsMd({ ...spec, sandbox, env }, folder.work, resumed !== null && !restored);
  const projects = await projectInstructions(folder.work, warnings);
  await writeOwnFile(join(folder.codexHome, 'AGENTS.md'), agentsMd + projects);
  goOn();
  const lostUpTo = moved && (await lostEvents(host, ref, spec, moved));
  const records = await openRecords(host, { ref, moved }, folder, lostUpTo);
  warnings.push(...records.warnings);
  if (moved) records.ledger = await takeOverHookRequests(records, folder.work, moved.hookRequests);
  const account = openAccount(seed?.fingerprint ?? null);
  const threadId = resumed?.threadId ?? null;
  const recalled =
    restored && threadId !== null
      ? await recallEvents(records.journal, records.ledger, threadId, folder)
      : null;
  if (moved) await takeOver(host, ref, moved, records, recalled);
  await writeTaskManifest(folder, { ref, spec, lease, moved, begunAt });
  const prepared = {
    ref,
    spec,
    lease,
    folder,
    moved,
    ...records,
    account,
    threadId,
    warnings,
    recalled,
  };
  host.tasks.set({ is: 'prepared', ref, stopping: known.stopping, prepared });
  return prepared;
}

/** Only the user's settings of it are taken: sandbox, environment and trust are rendered for this host. */
const baseConfig = (toml: string | null | undefined) => (toml ? { seedConfigToml: toml } : {});

async function resume(host: HostContext, wanted: NonNullable<TaskSpec['resume']>, folder: TaskFolder) {
  const snapshot = await findResume(host.store, wanted);
  if (!snapshot) return null;
  await requireRoom(host.config, snapshot);
  await restoreSnapshot(host.store, snapshot, folder);
  return { threadId: snapshot.sessionId };
}

/**
 * The seed's files into codex's home; with `withoutAuth` no refresh token touches this disk.
 * @throws TaskError `LeaseRefused` for a seed that cannot be read here or whose login is in another one: it is given
 * back and kept from being leased, for a while or until that is settled
 */
export async function installCredential(
  host: HostContext,
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
