import type { LeaseRef, PreviousHost, TaskRef } from '../../contract/activities.js';
import type { TaskSpec } from '../../contract/task-spec.js';
import { findResume, requireRoom, restoreSnapshot } from '../../snapshots/restore-snapshot.js';
import type { TaskFolder } from '../../task-folder/task-folder.js';
import { placeFiles } from '../../workdir/place-files.js';
import { ownsTokens } from '../account/host-tokens.js';
import { installCredential } from '../account/install-credential.js';
import { prepareProtocol } from '../agent-channel/protocol-folder.js';
import { noteStart } from '../agent-channel/resume-log.js';
import type { HostContext } from '../model/host-context.js';
import { NOTHING_SAVED_WARNING, restoreTask } from './restore-task.js';

/** A task that is being prepared. */
export interface Preparation {
  readonly ref: TaskRef;
  readonly spec: TaskSpec;
  readonly lease: LeaseRef | null;
  readonly moved: PreviousHost | null;
  readonly folder: TaskFolder;
  /** Warnings for its owner; stages add to it. */
  readonly warnings: string[];
  /** Throws when the task is to end: each stage may take long, and the end waits for all of them. */
  readonly goOn: () => void;
}

/** State with which a task begins. */
export interface Filled {
  /** The thread to continue; null: a new one. */
  readonly threadId: string | null;
  /** Its workdir comes from a checkpoint of the host before. */
  readonly isRestored: boolean;
  /** Its workdir comes from that, or from a snapshot. */
  readonly isResumed: boolean;
  readonly seed: Awaited<ReturnType<typeof installCredential>> | null;
}

/** Fills the workdir, fresh or restored, and Codex's home with the credential. */
export async function fillWorkdir(
  host: Pick<HostContext, 'config' | 'store' | 'log'>,
  task: Preparation,
): Promise<Filled> {
  const { ref, spec, lease, moved, folder, warnings, goOn } = task;
  const restored = moved && (await restoreTask(host, ref, spec, folder));
  const resumed = restored ?? (spec.resume && (await resume(host, spec.resume, folder)));
  if (moved && !restored) warnings.push(NOTHING_SAVED_WARNING);
  if (spec.resume && !resumed) warnings.push(`No snapshot ${JSON.stringify(spec.resume)} yet: started fresh`);
  goOn();
  const seed = lease && (await installCredential(host, lease, folder, ownsTokens(spec)));
  if (spec.hostProtocol) await prepareProtocol(folder.work, restored !== null);
  const isKept = spec.snapshot.checkpoint !== 'off';
  const unnoted = !restored && (resumed || isKept) ? await noteStart(folder.work) : null;
  if (unnoted !== null) warnings.push(unnoted);
  goOn();
  // A restored workdir has them as the task left them.
  if (!restored) await placeFiles(host.store, folder.work, spec.files);
  return {
    threadId: resumed?.threadId ?? null,
    isRestored: Boolean(restored),
    isResumed: Boolean(resumed),
    seed,
  };
}

async function resume(
  host: Pick<HostContext, 'store' | 'config'>,
  wanted: NonNullable<TaskSpec['resume']>,
  folder: TaskFolder,
) {
  const snapshot = await findResume(host.store, wanted);
  if (!snapshot) return null;
  await requireRoom(host.config, snapshot);
  await restoreSnapshot(host.store, snapshot, folder);
  return { threadId: snapshot.sessionId };
}
