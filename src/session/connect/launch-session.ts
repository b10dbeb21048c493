import { join } from 'node:path';
import { childEnvironment, secretsOf } from '../../codex/child-environment.js';
import { launchStrictly } from '../../codex/strict-launch.js';
import { TaskError } from '../../errors.js';
import { secondsUntilStop, uptimeSeconds } from '../../process/deadline.js';
import { stopProcess } from '../../process/stop-process.js';
import { holdTaskSeed, isStoppedByFence } from '../account/hold-seed.js';
import type { HostContext } from '../model/host-context.js';
import { failureText } from './live-session.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { writeProcessRecord, type ProcessRecord } from '../../task-folder/process-record.js';
import { type WorkflowLink } from '../conversation/workflow-link.js';
import { connectSession } from './connect-session.js';
import { watchTask } from '../task/watch-task.js';
import type { LiveSession } from '../model/live-session.js';
/** A lost host may have started unknown processes, so each host counts from a number of its own. */
const PROCESSES_PER_ASSIGNMENT = 1_000;

/**
 * Starts codex for a prepared task and opens its thread. `link`: the one of a session whose place this one takes.
 * @throws TaskError `CodexFailed` with codex's last lines, `HostUnfit` when its sandbox does not hold, `LeaseLost`,
 * `Unavailable` when the guard stopped it meanwhile
 */
export async function launchSession(
  host: HostContext,
  task: PreparedTask,
  signal: AbortSignal,
  link?: WorkflowLink,
): Promise<LiveSession> {
  if (task.lease) {
    await holdTaskSeed(host, task, task.lease, signal);
    watchTask(host, task.ref, task.lease);
  }
  const began = uptimeSeconds();
  let spawned: ProcessRecord | null = null;
  try {
    return await launch(host, task, signal, link, (record) => (spawned = record));
  } catch (error) {
    const lost = signal.aborted ? host.tasks.lossOf(task.ref) : null;
    if (lost) throw lost;
    if (signal.aborted) throw error;
    const took = uptimeSeconds() - began;
    const isLate = task.lease !== null && took >= secondsUntilStop(host.leaseTtlMs);
    // The guard has stopped it, or must: nobody renewed its lease, which is no fault of Codex.
    if (!isLate && !isStoppedByFence(host, task, spawned)) throw error;
    const why = `Codex was stopped ${took.toFixed(1)} s after its start: its lease was not renewed in time`;
    throw new TaskError('Unavailable', why, { cause: error });
  }
}

async function launch(
  host: HostContext,
  task: PreparedTask,
  signal: AbortSignal,
  link: WorkflowLink | undefined,
  onSpawned: (record: ProcessRecord) => void,
): Promise<LiveSession> {
  const { folder } = task;
  const incarnation =
    Math.max(newestProcess(task), (task.moved?.generation ?? 0) * PROCESSES_PER_ASSIGNMENT) + 1;
  await task.ledger.write({ t: 'process', incarnation });
  const env = environmentOf(host, task);
  await host.hostLease.whenHeld(signal);
  host.guard();
  let record: ProcessRecord | null = null;
  const warnings: string[] = [];
  const server = await launchStrictly({
    binary: host.codex.path,
    configToml: join(folder.codexHome, 'config.toml'),
    codexConfig: task.spec.codexConfig,
    warnings,
    workDir: folder.work,
    socketPath: folder.socket,
    env,
    logFile: folder.codexLog,
    signal,
    onSpawned: async (identity) => {
      record = recordOf(host, task, identity);
      onSpawned(record);
      await writeProcessRecord(folder, record);
      // A session that ended meanwhile has not seen this Codex.
      host.guard();
    },
  });
  const secrets = secretsOf(env);
  try {
    const launched = {
      server,
      record: record!,
      incarnation,
      secrets,
      env,
      isNew: true,
      warnings,
      ...(link && { link }),
    };
    return await connectSession(host, task, launched);
  } catch (error) {
    await stopProcess(server, { codexHome: folder.codexHome, socketPath: folder.socket });
    if (error instanceof TaskError) throw error;
    throw new TaskError('CodexFailed', await failureText(task, error, secrets), { cause: error });
  }
}

/**
 * Connects to the codex that an earlier worker left running.
 * @throws TaskError `CodexFailed` when it does not answer
 */
export function attachSession(
  host: HostContext,
  task: PreparedTask,
  record: ProcessRecord,
  link?: WorkflowLink,
): Promise<LiveSession> {
  if (task.lease) host.guard();
  const server = { pid: record.pid, startTime: record.startTime, socketPath: task.folder.socket };
  const env = environmentOf(host, task);
  return connectSession(host, task, {
    server,
    record,
    incarnation: newestProcess(task),
    secrets: secretsOf(env),
    env,
    isNew: false,
    ...(link && { link }),
    warnings: [],
  });
}

const newestProcess = ({ ledger }: PreparedTask) =>
  Math.max(0, ...ledger.past.map((each) => (each.t === 'process' ? each.incarnation : 0)));

const environmentOf = (host: Pick<HostContext, 'config' | 'env'>, { folder, spec }: PreparedTask) =>
  childEnvironment({
    workerEnv: host.env,
    home: folder.home,
    codexHome: folder.codexHome,
    passEnv: [...spec.passEnv, ...host.config.commandEnv],
    env: spec.env,
    ...('apiKeyEnv' in spec.credential && { apiKeyEnv: spec.credential.apiKeyEnv }),
  });

function recordOf(
  host: Pick<HostContext, 'codex' | 'hostId'>,
  { folder, ref, lease, account }: PreparedTask,
  identity: { pid: number; startTime: number },
): ProcessRecord {
  return {
    ...identity,
    socket: folder.socket,
    codexVersion: host.codex.version,
    taskId: ref.taskId,
    launchedAt: new Date().toISOString(),
    runId: ref.runId,
    assignmentId: ref.assignmentId,
    hostId: host.hostId,
    ...lease,
    ...(account.savedAuth !== null && { savedSha256: account.savedAuth }),
  };
}
