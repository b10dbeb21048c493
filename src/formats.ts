import { TaskError } from './errors.js';

/** What a reader does with a thing of a newer version than it knows. */
type OnNewer =
  /** It fails with `NewerFormat`, and the thing stays as it is. */
  | 'refused'
  /** It does without: the thing only saves work that is done again. */
  | 'ignored'
  /** It reads what stands first, which means the same in every version. */
  | 'first fields';

interface Format {
  readonly version: number;
  /** Where it lies, for people. */
  readonly where: string;
  readonly newer: OnNewer;
}

/**
 * All that outlives the process that wrote it, or that one worker writes and another reads. What names no version is of
 * the first. A version grows when an older reader would do wrong with what is written; a field that such a reader may
 * overlook needs none.
 */
export const FORMATS = {
  task: { version: 1, where: 'task.json', newer: 'refused' },
  process: { version: 1, where: 'process.json', newer: 'refused' },
  ledger: { version: 2, where: 'journal/ledger.jsonl', newer: 'refused' },
  segments: { version: 1, where: 'journal/events-*.sse', newer: 'refused' },
  recall: { version: 2, where: 'journal/recall.json', newer: 'ignored' },
  manifest: { version: 1, where: 'snapshot-manifest', newer: 'ignored' },
  deadline: { version: 1, where: 'deadline', newer: 'first fields' },
  fenced: { version: 1, where: 'fenced', newer: 'first fields' },
  part: { version: 1, where: '<prefix>_codex_journal_parts', newer: 'refused' },
  /** Its `layout`. The blobs stand in the same fields in every version, lest an older worker deletes them as nobody's. */
  snapshot: { version: 2, where: '<prefix>_codex_session_snapshots', newer: 'refused' },
  assignment: { version: 1, where: '<prefix>_codex_assignments', newer: 'refused' },
  message: { version: 1, where: '<prefix>_codex_messages', newer: 'refused' },
  mark: { version: 1, where: '<prefix>_codex_event_marks', newer: 'first fields' },
  /** Its `manifestVersion`, which the Python package names too. Nothing is leased, saved or restored of a newer one. */
  seed: { version: 1, where: '<prefix>_codex_seeds', newer: 'refused' },
  quarantine: { version: 1, where: '<prefix>_codex_quarantine', newer: 'refused' },
  /** Its `format`. Any worker has to see the right of any host, and keep it from a task. */
  host: { version: 1, where: '<prefix>_codex_hosts', newer: 'first fields' },
  /** Whoever finds a seed free tells whoever waits. */
  waiter: { version: 1, where: '<prefix>_codex_waiters', newer: 'first fields' },
} as const satisfies Record<string, Format>;

export type FormatName = keyof typeof FORMATS;

/** Something that says which version of its format it is of; only what went through `versioned` is one. */
export type Versioned<N extends FormatName, T> = T & { readonly version: number; readonly [format]?: N };
declare const format: unique symbol;

/** What is to be written, with the version of its format. */
export const versioned = <N extends FormatName, T extends object>(name: N, fields: T): Versioned<N, T> => ({
  ...fields,
  version: FORMATS[name].version,
});

/**
 * What wrote this is a newer worker. Nobody may take the thing for absent or damaged, nor write over it or remove it; a
 * host of that version can continue with it.
 */
export class NewerFormat extends TaskError {
  constructor(name: FormatName, version: number, what: string = FORMATS[name].where) {
    super(
      'HostUnfit',
      `${what} is of version ${version}, and this host's codex-task-worker reads ${FORMATS[name].version}: upgrade it`,
    );
  }
}

/** Whether a reader of this code must not go by what says that it is of this version. None named is the first. */
export const isNewer = (name: FormatName, version: unknown): version is number =>
  typeof version === 'number' && version > FORMATS[name].version;

/** @throws NewerFormat when it is of a version that this code does not know; `what` names the very thing */
export function requireKnown(name: FormatName, version: unknown, what?: string): void {
  if (isNewer(name, version)) throw new NewerFormat(name, version, what);
}
