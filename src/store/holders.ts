/** A stay of a task, as the workflow names it to its steps. */
export interface Holding {
  taskId: string;
  runId: string;
  stayId: string;
}

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
/** Read from the right: a task id may hold a slash. */
const HOLDER = new RegExp(`^(.+)/(${UUID})/(${UUID})$`, 's');

/** How a lease names the stay of a task that has it: `<taskId>/<runId>/<stayId>`. */
export const holderOf = ({ taskId, runId, stayId }: Holding): string => `${taskId}/${runId}/${stayId}`;

/** The stay that a text of our own names. */
export function parseHolder(holder: string): Holding {
  const [stayId = '', runId = '', ...rest] = holder.split('/').reverse();
  return { taskId: rest.reverse().join('/'), runId, stayId };
}

/** The stay that a lease names; null: its holder is no task of ours, but a verification or the Python package. */
export function holdingOf(holder: string): Holding | null {
  const [, taskId, runId, stayId] = HOLDER.exec(holder) ?? [];
  if (taskId === undefined || runId === undefined || stayId === undefined) return null;
  return { taskId, runId, stayId };
}
