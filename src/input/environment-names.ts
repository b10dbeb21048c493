/** Where codex keeps its files is the worker's to say. */
export const OWNED_NAMES: readonly string[] = [
  'HOME',
  'CODEX_HOME',
  'XDG_CONFIG_HOME',
  'XDG_DATA_HOME',
  'XDG_STATE_HOME',
  'XDG_CACHE_HOME',
];

/** Settings of the worker, of Temporal and of MongoDB begin so: with their values a task could act as the worker. */
const WORKERS = ['TEMPORAL_', 'CODEX_TASK_', 'MONGODB_'];

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * Codex's own settings begin so: with the value of one, whoever starts a task could have its account's tokens sent
 * elsewhere. The worker's operator may set them, and `passEnv` hands on.
 */
export const isOfCodex = (name: string): boolean => name.toUpperCase().startsWith('CODEX_');

/** Authorities that codex trusts for the connections that its tokens go over: of a task's `env` commands alone get them. */
export const TRUST_NAMES: readonly string[] = ['SSL_CERT_FILE', 'SSL_CERT_DIR'];

/** Why a task may not name this variable, in `env` or `passEnv`; null: it may. */
export function nameRefusal(name: string): 'malformed' | 'owned' | 'of the worker' | null {
  if (!NAME.test(name)) return 'malformed';
  if (OWNED_NAMES.includes(name)) return 'owned';
  return WORKERS.some((prefix) => name.toUpperCase().startsWith(prefix)) ? 'of the worker' : null;
}
