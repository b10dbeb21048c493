import type { OutputSchema, PermissionRule, TaskRule } from '../contract/index.js';
import type { TaskSpec } from '../contract/task-spec.js';
import { badInput } from './faults.js';
import { patternsIn } from './strict-schema.js';

/**
 * Refuses rules and schemas whose pattern is no regular expression here. Not for workflow code: what is one differs
 * between JavaScript engines, and a history must replay on every one.
 * @throws TaskError `BadInput`
 */
export function refuseBadPatterns({
  approvals,
  outputSchema,
}: Pick<TaskSpec, 'outputSchema'> & { approvals: { rules?: readonly PermissionRule[] } }): void {
  const faults = [...ruleFaults(approvals.rules, ['approvals', 'rules']), ...schemaFaults(outputSchema)];
  if (faults.length > 0) throw badInput('input', faults);
}

/** The same for rules that a running task is given. @throws TaskError `BadInput` */
export function refuseBadRulePatterns(given: readonly TaskRule[] = []): void {
  const faults = ruleFaults(
    given.map(({ rule }) => rule),
    ['add'],
    'rule',
  );
  if (faults.length > 0) throw badInput('rules', faults);
}

/** The same for the schema that a message brings. @throws TaskError `BadInput` */
export function refuseBadSchemaPatterns(outputSchema: OutputSchema | undefined): void {
  const faults = schemaFaults(outputSchema);
  if (faults.length > 0) throw badInput('message', faults);
}

const ruleFaults = (rules: readonly PermissionRule[] = [], at: string[], ...within: string[]) =>
  rules.flatMap(({ pattern }, i) =>
    typeof pattern !== 'string' || compiles(pattern)
      ? []
      : [faultAt([...at, i, ...within, 'pattern'], pattern)],
  );

/** A schema's are read by code points. */
const schemaFaults = (schema: OutputSchema | undefined) =>
  [...patternsIn(schema)].flatMap(({ path, pattern }) =>
    compiles(pattern, 'u') ? [] : [faultAt(['outputSchema', ...path], pattern)],
  );

const faultAt = (path: PropertyKey[], value: string) => ({ path, expected: 'a regular expression', value });

function compiles(pattern: string, flags = ''): boolean {
  try {
    new RegExp(pattern, flags);
    return true;
  } catch {
    return false;
  }
}
