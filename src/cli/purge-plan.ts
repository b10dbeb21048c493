import type { LeftoverFolders } from '../session/host/leftover-folders.js';
import type { NotPurged, TaskRemains } from '../store/purge-task.js';

/** What a purge of a task found. */
export interface PurgePlan {
  readonly taskId: string;
  readonly remains: TaskRemains;
  readonly folders: LeftoverFolders;
  readonly left: readonly NotPurged[];
  readonly isEmpty: boolean;
}
