import { TaskError } from '../errors.js';
import { callListener, type TaskListener } from './listener.js';

/** Files of a task's workdir, while it runs and Codex does. */
export interface TaskFiles {
  /**
   * Stores a file at `uploads/<name>` below `work`, in place of an earlier one of that name.
   * @param name its last part counts
   * @returns its path below `work`
   * @throws TaskError `BadInput` when it is larger than `limits.uploadBytes`, `NotFound` when the task is closed
   */
  put(name: string, content: string | Uint8Array): Promise<{ path: string }>;
  /**
   * The bytes of a regular file, by its path below `work`.
   * @throws TaskError `NotFound` when there is none or the task is closed, `BadInput` when it is larger than
   * `limits.downloadBytes` or lies outside
   */
  get(path: string): Promise<Uint8Array>;
}

/** Files have more bytes than other answers. Milliseconds. */
const FILE_MS = 300_000;

/** @param listener where the task's listener is now */
export const taskFiles = (listener: () => Promise<TaskListener>): TaskFiles => ({
  async put(name, content) {
    const body = new FormData();
    body.append('file', new Blob([Buffer.from(content)]), name);
    const answer = await callListener(await listener(), 'upload', { method: 'POST', body }, FILE_MS);
    return { path: storedAt(JSON.parse(answer.toString())) };
  },
  async get(path) {
    const place = await listener();
    try {
      return await callListener(place, `download?path=${encodeURIComponent(path)}`, {}, FILE_MS);
    } catch (error) {
      // The listener says the same of a task that it does not have; this one it had just now.
      if (!(error instanceof TaskError) || error.code !== 'SessionNotHere') throw error;
      throw new TaskError('NotFound', `Task ${place.taskId} has no file at ${path}`, { cause: error });
    }
  },
});

function storedAt(answer: unknown): string {
  const { files } = answer as { files?: { path?: unknown }[] };
  const path = files?.[0]?.path;
  if (typeof path === 'string') return path;
  throw new TaskError('Unavailable', 'The listener did not say where it stored the file');
}
