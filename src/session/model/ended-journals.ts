import type { Journal } from '../../journal/journal.js';

/** Tasks that ended on this host not long ago. */
export interface EndedTasks {
  has(taskId: string): boolean;
  /** The journal of an ended task, ended itself and shared by its readers; null when it is not kept any more. */
  open(taskId: string): Promise<OpenedEnded | null>;
  close(): void;
}

export interface OpenedEnded {
  readonly journal: Journal;
  /** Called once by each reader; after the last one the journal is closed. */
  readonly release: () => void;
}
