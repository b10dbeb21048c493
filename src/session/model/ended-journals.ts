import type { Journal } from '../../journal/journal.js';

/** Journals of tasks that ended on this host recently. */
export interface EndedTasks {
  has(taskId: string): boolean;
  /** The journal of an ended task, shared by its readers; null when it is no longer kept. */
  open(taskId: string): Promise<OpenedEnded | null>;
  close(): void;
}

export interface OpenedEnded {
  readonly journal: Journal;
  /** Called once by each reader; after the last one the journal is closed. */
  readonly release: () => void;
}
