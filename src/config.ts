import { totalmem } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { PAYLOAD_KEY, PAYLOAD_KEY_EXPECTED } from './codec/payload-keys.js';
import { claimQueueOf, DEFAULT_TASK_QUEUE } from './contract/index.js';
import { TaskError } from './errors.js';
import { nameRefusal } from './input/environment-names.js';
import { homeFolder } from './process/home-folder.js';
import { NO_KEYS, parseKeys, type KeyList } from './codec/key-list.js';
import type { SeedKeys } from './store/cipher.js';

/** The worker's settings, read once from the environment. Durations in milliseconds. */
export interface Config {
  readonly taskQueue: string;
  readonly claimQueue: string;
  readonly mongodbUri: string;
  /** Collections are `<prefix>_codex_seeds`, …; `optio` shares them with a Python deployment. */
  readonly mongoPrefix: string;
  readonly dataDir: string;
  readonly listen: { readonly host: string; readonly port: number };
  /** What clients put before `/tasks/<taskId>`; null: made from the bound address. */
  readonly publicUrl: string | null;
  /** Null: `<dataDir>/listener-secret`, made at the first start. */
  readonly listenerSecret: string | null;
  /** What stored credentials are encrypted with. */
  readonly seedKeys: SeedKeys;
  /** What payloads are encrypted with on their way to Temporal. */
  readonly payloadKeys: KeyList;
  readonly maxSessions: number;
  /** How long the leases of hosts and seeds live without renewal; the same on every host. */
  readonly leaseTtlMs: number;
  readonly keepEndedMs: number;
  /** Bytes of events kept for each task; null: all. What is older is named by a gap event. */
  readonly journalBytes: number | null;
  /** Bytes that must be free on the data folder's disk when a task is prepared. */
  readonly minFreeBytes: number;
  /** Names of the worker's own variables that sandboxed commands get. */
  readonly commandEnv: readonly string[];
  /** Whom commits name that commands make; null: nobody. */
  readonly gitAuthor: { readonly name: string; readonly email: string } | null;
  readonly corsOrigins: readonly string[];
  /** Of the Temporal UI: its pages may use `/codec`, and nothing else here. */
  readonly codecOrigins: readonly string[];
  /** What becomes of running tasks when the worker is asked to stop. */
  readonly drain: DrainMode;
  /** How long `wait` and `move` wait for tasks. */
  readonly drainWaitMs: number;
  readonly logLevel: LogLevel;
}

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * `detach` leaves codex running for the next worker on this host; `wait` waits until the tasks end; `move` waits for
 * the end of each running turn; `stop` stops codex gently at once. What is stopped continues with the next worker.
 */
export const DRAIN_MODES = ['detach', 'wait', 'move', 'stop'] as const;
export type DrainMode = (typeof DRAIN_MODES)[number];

/** Memory one session is planned with, from 155–165 MB measured for a codex with one used thread. */
const SESSION_BYTES = 200 * 1024 * 1024;
/** Room for a checkout, a journal and codex's records of a short task. */
const MIN_FREE_BYTES = 256 * 1024 * 1024;
const MIN_SECRET_CHARS = 32;
/** Shorter ones would be lost between two renewals on a busy machine. */
const MIN_LEASE_MS = 6_000;

/** Of this process: what the settings of a worker leave open comes from it. */
export const ownEnvironment = (): NodeJS.ProcessEnv => process.env;

/**
 * Reads every setting and names all faults at once.
 * @throws TaskError `BadInput` with every wrong variable in one line
 */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const faults: string[] = [];
  const expect = <T>(
    name: string,
    expected: string,
    parse: (text: string) => T | undefined,
    fallback: T,
  ): T => {
    const text = env[name];
    if (text === undefined || text === '') return fallback;
    const value = parse(text);
    if (value !== undefined) return value;
    // A value that may hold a password is never repeated.
    faults.push(
      `${name}: expected ${expected}${SECRET_VARIABLES.has(name) ? '' : `, got ${JSON.stringify(withoutLogin(text))}`}`,
    );
    return fallback;
  };

  const taskQueue = expect('CODEX_TASK_QUEUE', 'a task queue name', nonBlank, DEFAULT_TASK_QUEUE);
  const config: Config = {
    taskQueue,
    claimQueue: claimQueueOf(taskQueue),
    mongodbUri: expect(
      'MONGODB_URI',
      'mongodb:// or mongodb+srv:// …',
      mongoUri,
      'mongodb://127.0.0.1:27017/codex_task',
    ),
    mongoPrefix: expect('CODEX_TASK_MONGO_PREFIX', 'letters, digits, _ or -', matching(/^[\w-]+$/), 'optio'),
    dataDir: resolve(expect('CODEX_TASK_DATA_DIR', 'an absolute path', absolutePath, defaultDataDir(env))),
    listen: expect('CODEX_TASK_LISTEN', 'host:port', address, { host: '127.0.0.1', port: 8787 }),
    publicUrl: expect('CODEX_TASK_PUBLIC_URL', 'an http(s) URL', httpUrl, null),
    listenerSecret: expect(
      'CODEX_TASK_LISTENER_SECRET',
      `at least ${MIN_SECRET_CHARS} characters`,
      secret,
      null,
    ),
    seedKeys: expect(
      'CODEX_TASK_SEED_KEY',
      'keys of 32 bytes in base64, as id:key or key, with commas between; the first one writes (plain: none does)',
      seedKeys,
      NO_KEYS,
    ),
    payloadKeys: expect(PAYLOAD_KEY, PAYLOAD_KEY_EXPECTED, (text) => parseKeys(text), NO_KEYS),
    maxSessions: expect('CODEX_TASK_MAX_SESSIONS', 'a positive integer', positiveInteger, sessionsByMemory()),
    leaseTtlMs: expect('CODEX_TASK_LEASE_TTL', `milliseconds, at least ${MIN_LEASE_MS}`, leaseTtl, 60_000),
    keepEndedMs: expect('CODEX_TASK_KEEP_ENDED', 'milliseconds', positiveInteger, 3_600_000),
    journalBytes: expect<number | null>('CODEX_TASK_JOURNAL_BYTES', 'bytes', positiveInteger, null),
    drain: expect('CODEX_TASK_DRAIN', `one of ${DRAIN_MODES.join(', ')}`, drainMode, 'detach'),
    drainWaitMs: expect('CODEX_TASK_DRAIN_WAIT', 'milliseconds', positiveInteger, 3_600_000),
    minFreeBytes: expect('CODEX_TASK_MIN_FREE_BYTES', 'bytes', positiveInteger, MIN_FREE_BYTES),
    commandEnv: expect('CODEX_TASK_COMMAND_ENV', 'names of variables with commas between', variableNames, []),
    gitAuthor: expect('CODEX_TASK_GIT_AUTHOR', 'Name <address>', gitAuthor, null),
    corsOrigins: expect('CODEX_TASK_CORS_ORIGINS', 'origins with commas between', origins, []),
    codecOrigins: expect('CODEX_TASK_CODEC_ORIGINS', 'origins with commas between', origins, []),
    logLevel: expect('CODEX_TASK_LOG', `one of ${LOG_LEVELS.join(', ')}`, logLevel, 'info'),
  };
  if (faults.length > 0) throw new TaskError('BadInput', `Wrong settings: ${faults.join('; ')}`);
  return Object.freeze(config);
}

const SECRET_VARIABLES = new Set([
  'MONGODB_URI',
  'CODEX_TASK_LISTENER_SECRET',
  'CODEX_TASK_SEED_KEY',
  PAYLOAD_KEY,
]);

/** A URL that was put into the wrong place may carry a login. */
const withoutLogin = (text: string) => text.replace(/\/\/[^/\s]*@/g, '//…@');

const nonBlank = (text: string) => (text.trim() === '' ? undefined : text);
const matching = (pattern: RegExp) => (text: string) => (pattern.test(text) ? text : undefined);
const absolutePath = (text: string) => (isAbsolute(text) ? text : undefined);
const secret = (text: string) => (text.trim().length >= MIN_SECRET_CHARS ? text.trim() : undefined);
const logLevel = (text: string) => LOG_LEVELS.find((level) => level === text);
const drainMode = (text: string) => DRAIN_MODES.find((mode) => mode === text);
const mongoUri = (text: string) => (/^mongodb(\+srv)?:\/\/./.test(text) ? text : undefined);

function positiveInteger(text: string): number | undefined {
  return /^[1-9]\d{0,14}$/.test(text) ? Number(text) : undefined;
}

function leaseTtl(text: string): number | undefined {
  const ms = positiveInteger(text);
  return ms !== undefined && ms >= MIN_LEASE_MS ? ms : undefined;
}

function httpUrl(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash)
    return undefined;
  return text.replace(/\/+$/, '');
}

function origins(text: string): readonly string[] | undefined {
  const list = text.split(',').map((part) => part.trim());
  return list.every((origin) => URL.canParse(origin) && new URL(origin).origin === origin) ? list : undefined;
}

function gitAuthor(text: string): Config['gitAuthor'] | undefined {
  const [, name, email] = /^\s*([^\s<>`][^<>`\r\n]*?)\s*<([^<>`\s]+)>\s*$/.exec(text) ?? [];
  return name === undefined || email === undefined ? undefined : { name, email };
}

/** None that says who the worker is. */
function variableNames(text: string): readonly string[] | undefined {
  const names = text
    .split(',')
    .map((part) => part.trim())
    .filter((name) => name !== '');
  return names.every((name) => nameRefusal(name) === null) ? names : undefined;
}

/** With `only` before them plain ones are refused; then one has to write. */
function seedKeys(text: string): SeedKeys | undefined {
  const [, only, list = ''] = /^\s*(only\s*,)?(.*)$/s.exec(text) ?? [];
  const keys = parseKeys(list, true);
  if (only === undefined || keys === undefined) return keys;
  return keys.writes === null ? undefined : { ...keys, only: true };
}

function address(text: string): Config['listen'] | undefined {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:\s]+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (!match?.[1] || port > 65_535) return undefined;
  return { host: match[1].replace(/^\[|\]$/g, ''), port };
}

function defaultDataDir(env: NodeJS.ProcessEnv): string {
  return join(env['XDG_DATA_HOME'] || join(homeFolder(env), '.local', 'share'), 'codex-task');
}

/** Where a container has a limit of its own, that one counts. */
function sessionsByMemory(): number {
  const constrained = process.constrainedMemory();
  const bytes = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return Math.max(16, Math.floor((bytes * 0.8) / SESSION_BYTES));
}
