import { PAYLOAD_KEY } from '../codec/payload-keys.js';
import { ownEnvironment, readConfig, type Config, type DrainMode, type LogLevel } from '../config.js';

/**
 * What a worker is set up with. What is absent here is taken from the variable of the same purpose in `env`, and then
 * from its default; docs/settings.md has both. Durations are milliseconds.
 */
export interface WorkerSettings {
  /** `CODEX_TASK_QUEUE`: of the workflows. */
  readonly taskQueue?: string | undefined;
  readonly mongodbUri?: string | undefined;
  /** `CODEX_TASK_MONGO_PREFIX`: collections are `<prefix>_codex_seeds`, …. */
  readonly mongoPrefix?: string | undefined;
  /** `CODEX_TASK_DATA_DIR`: an absolute path; one worker at a time has it. */
  readonly dataDir?: string | undefined;
  /** `CODEX_TASK_LISTEN`; port 0 is any that is free. */
  readonly listen?: { readonly host: string; readonly port: number } | undefined;
  /** `CODEX_TASK_PUBLIC_URL`: what clients put before `/tasks/<taskId>`. */
  readonly publicUrl?: string | undefined;
  /** `CODEX_TASK_LISTENER_SECRET`: at least 32 characters. */
  readonly listenerSecret?: string | undefined;
  /** `CODEX_TASK_SEED_KEY`: what accounts are encrypted with in the database. */
  readonly seedKey?: string | undefined;
  /** `CODEX_TASK_PAYLOAD_KEY`: what payloads are encrypted with on their way to Temporal. */
  readonly payloadKey?: string | undefined;
  readonly maxSessions?: number | undefined;
  /** `CODEX_TASK_LEASE_TTL`: how long leases live without renewal; the same on every host. */
  readonly leaseTtlMs?: number | undefined;
  readonly keepEndedMs?: number | undefined;
  /** Bytes of events kept for each task. */
  readonly journalBytes?: number | undefined;
  /** Bytes that must be free on the data folder's disk when a task is prepared. */
  readonly minFreeBytes?: number | undefined;
  /** Names of variables that sandboxed commands get of `env`. */
  readonly commandEnv?: readonly string[] | undefined;
  readonly gitAuthor?: { readonly name: string; readonly email: string } | undefined;
  readonly corsOrigins?: readonly string[] | undefined;
  readonly codecOrigins?: readonly string[] | undefined;
  /** What becomes of running tasks when the worker is asked to stop. */
  readonly drain?: DrainMode | undefined;
  /** How long `wait` and `move` wait for tasks. */
  readonly drainWaitMs?: number | undefined;
  readonly logLevel?: LogLevel | undefined;
  /** Temporal's own variables, what Codex gets of, and what is absent above. Default: this process's. */
  readonly env?: NodeJS.ProcessEnv | undefined;
}

/**
 * The configuration that the settings and their environment make together.
 * @throws TaskError `BadInput` that names every wrong setting by its variable
 */
export function readSettings(settings: WorkerSettings): { config: Config; env: NodeJS.ProcessEnv } {
  const env = { ...(settings.env ?? ownEnvironment()), ...asVariables(settings) };
  return { config: readConfig(env), env };
}

/** One check for both ways to set a thing. */
function asVariables(settings: WorkerSettings): Record<string, string> {
  const { listen, gitAuthor } = settings;
  const list = (names: readonly string[] | undefined) => names?.join(',');
  const values: Record<string, string | number | undefined> = {
    CODEX_TASK_QUEUE: settings.taskQueue,
    MONGODB_URI: settings.mongodbUri,
    CODEX_TASK_MONGO_PREFIX: settings.mongoPrefix,
    CODEX_TASK_DATA_DIR: settings.dataDir,
    CODEX_TASK_LISTEN: listen && `${bracketed(listen.host)}:${listen.port}`,
    CODEX_TASK_PUBLIC_URL: settings.publicUrl,
    CODEX_TASK_LISTENER_SECRET: settings.listenerSecret,
    CODEX_TASK_SEED_KEY: settings.seedKey,
    [PAYLOAD_KEY]: settings.payloadKey,
    CODEX_TASK_MAX_SESSIONS: settings.maxSessions,
    CODEX_TASK_LEASE_TTL: settings.leaseTtlMs,
    CODEX_TASK_KEEP_ENDED: settings.keepEndedMs,
    CODEX_TASK_JOURNAL_BYTES: settings.journalBytes,
    CODEX_TASK_MIN_FREE_BYTES: settings.minFreeBytes,
    CODEX_TASK_COMMAND_ENV: list(settings.commandEnv),
    CODEX_TASK_GIT_AUTHOR: gitAuthor && `${gitAuthor.name} <${gitAuthor.email}>`,
    CODEX_TASK_CORS_ORIGINS: list(settings.corsOrigins),
    CODEX_TASK_CODEC_ORIGINS: list(settings.codecOrigins),
    CODEX_TASK_DRAIN: settings.drain,
    CODEX_TASK_DRAIN_WAIT: settings.drainWaitMs,
    CODEX_TASK_LOG: settings.logLevel,
  };
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given.map(([name, value]) => [name, String(value)]));
}

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host);
