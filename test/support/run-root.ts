import { join } from 'node:path';

/** Set for one vitest run and inherited by all it starts: a mark, and the folder for all its files. */
export const RUN_VARIABLE = 'CODEX_TASK_TEST_RUN';
export const ROOT_VARIABLE = 'CODEX_TASK_TEST_ROOT';

/**
 * Where a test process has its folders. It runs one test at a time, so nothing beside a test's folder goes while that
 * runs: codex's sandbox fails when what it mounts, all that is beside a data folder, is gone a moment later.
 */
export const processFolder = (): string => join(runRoot(), process.pid.toString(36));

/** The run's root: short, for the sake of unix sockets, and not below the temp folder, which codex refuses. */
export function runRoot(): string {
  const root = process.env[ROOT_VARIABLE];
  if (root) return root;
  throw new Error(`${ROOT_VARIABLE} is not set: run the tests through vitest, whose global setup sets it`);
}
