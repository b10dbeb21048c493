import type { Journal } from '../../journal/journal.js';
import type { TaskSpec } from '../../contract/task-spec.js';
import { appendEvent } from '../../journal/append-event.js';

const NETWORK =
  'sandbox.network: commands also reach this host by loopback, a Temporal or MongoDB without a password too, and ' +
  'the unix sockets of the worker’s user';
const NO_SANDBOX =
  'sandbox.mode danger-full-access: commands are not confined. They read and change all that the worker’s user ' +
  'can: every account and task on this host, and its network';

/** Warnings for the owner of a task about its sandbox. */
export function sandboxWarnings({ mode, network }: TaskSpec['sandbox']): string[] {
  if (mode === 'danger-full-access') return [NO_SANDBOX];
  return network ? [NETWORK] : [];
}

/** Shows warnings to those who watch the task. */
export function announce(warnings: readonly string[], journal: Pick<Journal, 'append'>): void {
  for (const message of warnings) appendEvent(journal, { type: 'x-optio-warning', message });
}
