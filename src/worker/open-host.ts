import { mkdir } from 'node:fs/promises';
import { requireNamespace, type TemporalAccess } from '../client/connect-temporal.js';
import { CODEX_VERSION, findCodex } from '../codex/binary.js';
import type { Config, DrainMode } from '../config.js';
import { reasonOf } from '../errors.js';
import { loadListenerSecret } from '../listener-secret.js';
import { segmentOf } from '../listener/task-segment.js';
import type { Log } from '../log.js';
import { openDataFolder } from '../process/data-folder.js';
import { ensureGuard } from '../process/start-guard.js';
import { keepEnded } from '../session/host/ended-journals.js';
import { openFitness } from '../session/host/host-fitness.js';
import type { OwnHostLease } from '../session/host/host-lease.js';
import type { HostContext } from '../session/model/host-context.js';
import type { HostLease } from '../session/model/host-lease.js';
import { HostTasks } from '../session/model/host-tasks.js';
import { ensureIndexes } from '../store/indexes.js';
import type { Store } from '../store/mongo.js';
import { openStore } from '../store/open-store.js';
import { tasksFolder } from '../task-folder/task-folder.js';
import { workflowCalls } from '../temporal/workflow-calls.js';
import type { Openings } from './close-in-order.js';

/** What the parts of a worker are opened with. */
export interface HostParts {
  readonly config: Config;
  readonly env: NodeJS.ProcessEnv;
  readonly log: Log;
  readonly openings: Openings;
  /** How it ends; asked when it does. */
  readonly ending: { mode: DrainMode };
  /** Connects to the server where the workflows of the tasks are. */
  readonly connect: () => Promise<TemporalAccess & { close(): Promise<void> | void }>;
}

/** What others see of a host while it changes. */
export interface Standing {
  publicUrl: string;
  /** Why it takes nothing just now; null: it does. */
  notReady: 'starting' | 'draining' | 'stopping' | null;
  lease: OwnHostLease | null;
}

export interface OpenHost {
  readonly host: HostContext;
  readonly temporal: TemporalAccess;
  readonly standing: Standing;
  /** What passwords of tasks are made of. */
  readonly secret: string;
}

/**
 * Opens what a host works with: its folder, the servers and the guard. Nobody sees it yet.
 * @throws TaskError when something is missing: one line that says what and what to do
 */
export async function openHost(parts: HostParts): Promise<OpenHost> {
  const { config, env, log, openings, ending } = parts;
  const codex = await findCodex(env);
  if (codex.version !== CODEX_VERSION)
    log.warn({ version: codex.version, expected: CODEX_VERSION }, 'codex.version.differs');
  const folder = openings.opened('data folder', await openDataFolder(config.dataDir), (each) =>
    each.unlock(),
  );
  await mkdir(tasksFolder(config.dataDir), { recursive: true, mode: 0o700 });
  const secret = await loadListenerSecret(config.dataDir, config.listenerSecret);
  const { store, temporal } = await openServers(parts);

  // Closed after whatever has a codex; where one is left it stays next to it, and is not waited for.
  const guard = openings.opened(
    'guard',
    ensureGuard(config.dataDir, (error) => log.error({ reason: error.message }, 'guard.failed'), env),
    (each) => (ending.mode === 'detach' ? void each.close() : each.close()),
  );
  const tasks = new HostTasks(config.maxSessions);
  const ended = keepEnded(config.dataDir, config.keepEndedMs, (error) =>
    log.warn({ reason: reasonOf(error) }, 'ended.sweep.failed'),
  );
  openings.opened('ended tasks', ended, (each) => each.close());
  const standing: Standing = { publicUrl: '', notReady: 'starting', lease: null };
  const host: HostContext = {
    config,
    hostId: folder.hostId,
    store,
    log,
    codex,
    env,
    tasks,
    fitness: await openFitness(store, folder.hostId, tasks, log),
    ended,
    accounts: { saved: 0, quarantined: 0 },
    leaseTtlMs: config.leaseTtlMs,
    hostLease: rightOf(standing),
    ...workflowCalls(temporal),
    guard: () => guard.ensure(),
    taskUrl: (taskId) => `${standing.publicUrl}/tasks/${segmentOf(taskId)}`,
  };
  return { host, temporal, standing, secret };
}

/** Nobody asks before the lease is there. */
function rightOf(standing: Standing): HostLease {
  const lease = () => standing.lease!;
  return {
    isHeld: () => lease().isHeld(),
    whenHeld: (signal) => lease().whenHeld(signal),
    isToEvict: (taskId) => lease().isToEvict(taskId),
  };
}

async function openServers(parts: HostParts): Promise<{ store: Store; temporal: TemporalAccess }> {
  const { log, openings } = parts;
  const [database, temporal] = await openBoth(parts);
  openings.opened('MongoDB', database, (each) => each.close());
  for (const warning of database.warnings) log.warn({ warning }, 'mongodb.option.overruled');
  openings.opened('Temporal client', temporal, (each) => each.close());
  const [fleet] = await Promise.all([requireNamespace(temporal), ensureIndexes(database)]);
  return { store: fleet === null ? database : { ...database, fleet }, temporal };
}

async function openBoth({ config, connect }: HostParts) {
  const opening = [
    openStore({ uri: config.mongodbUri, prefix: config.mongoPrefix, seedKeys: config.seedKeys }),
    connect(),
  ] as const;
  const results = await Promise.allSettled(opening);
  const failed = results.find((each) => each.status === 'rejected');
  if (!failed) return Promise.all(opening);
  for (const each of results) if (each.status === 'fulfilled') await each.value.close();
  throw failed.reason;
}
