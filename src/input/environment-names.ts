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

/** Why a task may not name this variable, in `env` or `passEnv`; null: it may. */
export function nameRefusal(name: string): 'malformed' | 'owned' | 'of the worker' | null {
  if (!NAME.test(name)) return 'malformed';
  if (OWNED_NAMES.includes(name)) return 'owned';
  return WORKERS.some((prefix) => name.toUpperCase().startsWith(prefix)) ? 'of the worker' : null;
}
