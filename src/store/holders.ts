/** An assignment of a task, as the workflow names it to its steps. */
export interface Holding {
  taskId: string;
  runId: string;
  assignmentId: string;
}

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
/** Read from the right: a task id may hold a slash. */
const HOLDER = new RegExp(`^(.+)/(${UUID})/(${UUID})$`, 's');

/** How a lease names the assignment of a task that has it: `<taskId>/<runId>/<assignmentId>`. */
export const holderOf = ({ taskId, runId, assignmentId }: Holding): string =>
  `${taskId}/${runId}/${assignmentId}`;

/** Parses the assignment that a text of ours names. */
export function parseHolder(holder: string): Holding {
  const [assignmentId = '', runId = '', ...rest] = holder.split('/').reverse();
  return { taskId: rest.reverse().join('/'), runId, assignmentId };
}

/** The assignment that a lease names; null: its holder is no task of ours, but a verification or the Python package. */
export function holdingOf(holder: string): Holding | null {
  const [, taskId, runId, assignmentId] = HOLDER.exec(holder) ?? [];
  if (taskId === undefined || runId === undefined || assignmentId === undefined) return null;
  return { taskId, runId, assignmentId };
}
