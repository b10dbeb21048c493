import { isTaskId } from '../input/parse-task-input.js';

/**
 * Goes before an id of dots alone: clients resolve `.` and `..` in a path before they send it, percent-encoded too.
 * No id holds it, since it is a control character.
 */
const DOTS_ONLY = '\x1f';

/** How the path of a task's routes names it: its id, percent-encoded once. */
export const segmentOf = (taskId: string): string =>
  encodeURIComponent(isDots(taskId) ? `${DOTS_ONLY}${taskId}` : taskId);

/** The task that a segment of a path names; null: it can name none. */
export function taskIdIn(segment: string): string | null {
  const decoded = decode(segment);
  // Whoever sends dots means a folder, or stands behind something that resolves them.
  if (decoded === null || isDots(decoded)) return null;
  const taskId = decoded.startsWith(DOTS_ONLY) && isDots(decoded.slice(1)) ? decoded.slice(1) : decoded;
  return isTaskId(taskId) ? taskId : null;
}

const isDots = (text: string): boolean => text === '.' || text === '..';

function decode(segment: string): string | null {
  try {
    return decodeURIComponent(segment);
  } catch {
    return null;
  }
}
