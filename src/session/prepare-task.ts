import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LeaseRef, PrepareArguments, TaskRef } from '../activities/arguments.js';
import { renderConfig } from '../codex/config-toml.js';
import { TaskError } from '../errors.js';
import { renewLease } from '../store/leases.js';
import { readSeed } from '../store/seeds.js';
import { fingerprint } from '../store/seed-archive.js';
import type { TaskSpec } from '../task-input.js';
import { composeAgentsMd } from './agents-md.js';
import type { HostContext } from './host-context.js';
import { openJournal, type Journal } from './journal.js';
import { openLedger, type Ledger } from './ledger.js';
import { reapProcess } from './process-record.js';
import { endedFolder, taskFolder, type TaskFolder } from './task-folder.js';

/** A task whose folder is ready for codex. */
export interface PreparedTask {
  readonly ref: TaskRef;
  readonly spec: TaskSpec;
  readonly lease: LeaseRef | null;
  readonly folder: TaskFolder;
  readonly journal: Journal;
  readonly ledger: Ledger;
  /** SHA-256 of the auth.json that the database has too; null: none. */
  savedAuth: string | null;
}

/**
 * Makes the task's folder: codex's home with config and credential, the workdir, the journal. A folder of an earlier run is removed first, its codex too. Repeatable.
 * @throws TaskError `ClaimLapsed`, `LeaseRefused`, `NoCredential`, `BadInput`
 */
export async function prepareTask(
  host: HostContext,
  { ref, spec, lease }: PrepareArguments,
): Promise<PreparedTask> {
  const known = host.tasks.find(ref.taskId);
  if (known?.ref.runId !== ref.runId)
    throw new TaskError('ClaimLapsed', `Task ${ref.taskId} has no claim on this host any more`);
  if (known.is !== 'claimed') return known.prepared;
  if (lease && !(await renewLease(host.store, lease, host.leaseTtlMs)))
    throw new TaskError('LeaseRefused', `Seed ${lease.seedId} was leased to another before codex started`);

  const folder = taskFolder(host.config.dataDir, ref.taskId);
  await reapProcess(folder, host.log);
  await removeFolder(folder.root);
  await rm(join(endedFolder(host.config.dataDir), ref.taskId), { recursive: true, force: true });
  for (const path of [folder.root, folder.work, folder.codexHome, folder.journal])
    await mkdir(path, { recursive: true, mode: 0o700 });

  const seed = lease && (await plantSeed(host, lease, folder));
  await writeFile(folder.taskJson, JSON.stringify({ ref, spec, lease }), { mode: 0o600 });
  const config = renderConfig({
    dataDir: host.config.dataDir,
    workDir: folder.work,
    sandbox: spec.sandbox,
    codexConfig: spec.codexConfig,
    env: spec.env,
    ...(seed?.configToml && { seedConfigToml: seed.configToml }),
    ...(spec.model !== null && { model: spec.model }),
    ...(spec.effort !== null && { effort: spec.effort }),
    approvals: { policy: spec.approvals.policy },
    apiKey: 'apiKeyEnv' in spec.credential,
  });
  await writeFile(join(folder.codexHome, 'config.toml'), config, { mode: 0o600 });
  // Codex reads its home's only: the workdir is no trusted project, or its `.codex` could change the sandbox.
  for (const place of [folder.work, folder.codexHome])
    await writeFile(join(place, 'AGENTS.md'), composeAgentsMd(spec, folder.work));

  const journal = await openJournal(folder.journal);
  const ledger = await openLedger(folder.ledger);
  const prepared = { ref, spec, lease, folder, journal, ledger, savedAuth: seed?.fingerprint ?? null };
  host.tasks.set({ is: 'prepared', ref, stopping: known.stopping, prepared });
  return prepared;
}

/** Removes a task's folder, read-only files and folders in it too. */
export async function removeFolder(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  } catch {
    await makeWritable(path);
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function makeWritable(path: string): Promise<void> {
  await chmod(path, 0o700);
  for (const entry of await readdir(path, { withFileTypes: true }))
    if (entry.isDirectory()) await makeWritable(join(path, entry.name));
}

async function plantSeed(host: HostContext, lease: LeaseRef, folder: TaskFolder) {
  const seed = await readSeed(host.store, lease.seedId);
  if (!seed?.authJson) throw new TaskError('NoCredential', `Seed ${lease.seedId} holds no auth.json`);
  await writeFile(folder.authJson, seed.authJson, { mode: 0o600 });
  return {
    configToml: seed.configToml?.toString('utf8') ?? null,
    fingerprint: fingerprint(seed.authJson),
  };
}

/** The auth.json of a task as it is on disk now; null when there is none. */
export async function readAuth(folder: TaskFolder): Promise<Buffer | null> {
  try {
    return await readFile(folder.authJson);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
