import type { PermissionRule } from '../contract/index.js';
import { badInput } from './faults.js';

/**
 * Refuses rules whose pattern is no regular expression here. Not for workflow code: what is one differs between
 * JavaScript engines, and a history must replay on every one.
 * @throws TaskError `BadInput`
 */
export function refuseBadPatterns(rules: readonly PermissionRule[] = []): void {
  const faults = rules.flatMap(({ pattern }, i) =>
    typeof pattern !== 'string' || compiles(pattern)
      ? []
      : [{ path: ['approvals', 'rules', i, 'pattern'], expected: 'a regular expression', value: pattern }],
  );
  if (faults.length > 0) throw badInput('input', faults);
}

function compiles(pattern: string): boolean {
  try {
    new RegExp(pattern);
    return true;
  } catch {
    return false;
  }
}
