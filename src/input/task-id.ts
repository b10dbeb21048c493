import { badInput } from './faults.js';
import type { Fault } from './fault.js';

/** Temporal takes no longer workflow id. */
const MAX_BYTES = 1_000;

const TASK_ID_EXPECTED = `text of 1 to ${MAX_BYTES} bytes without control characters, and not "operator"`;

/**
 * Whether a workflow id can be a task's. `operator` as a task would have the operators' token for its password. Runs
 * in the workflow too, so it rests on nothing that engines differ in.
 */
export function isTaskId(id: unknown): id is string {
  if (typeof id !== 'string' || id === 'operator') return false;
  let bytes = 0;
  for (const character of id) {
    const code = character.codePointAt(0)!;
    if (isControl(code) || isSurrogate(code)) return false;
    bytes += utf8Bytes(code);
  }
  return bytes >= 1 && bytes <= MAX_BYTES;
}

const isControl = (code: number): boolean => code < 0x20 || (code >= 0x7f && code < 0xa0);

/** Half of a pair, which UTF-8 cannot hold. */
const isSurrogate = (code: number): boolean => code >= 0xd800 && code < 0xe000;

function utf8Bytes(code: number): number {
  if (code < 0x80) return 1;
  if (code < 0x800) return 2;
  return code < 0x10000 ? 3 : 4;
}

/** @throws TaskError `BadInput` that says what a task's id is, for one that no task can have */
export function checkTaskId(taskId: unknown): string {
  const faults = idFaults(taskId);
  if (faults.length > 0) throw badInput('taskId', faults);
  return taskId as string;
}

export const idFaults = (taskId: unknown): Fault[] =>
  isTaskId(taskId) ? [] : [{ path: ['taskId'], expected: TASK_ID_EXPECTED, value: taskId }];
