import * as v from 'valibot';
import type {
  ControlChange,
  OutputSchema,
  PermissionDecision,
  RulesChange,
  TaskMessage,
} from '../contract/index.js';
import { BUDGETS } from '../budgets/budgets.js';
import * as is from './checks.js';
import { badInput } from './faults.js';
import { parse } from './parse.js';
import { outputSchema } from './strict-schema.js';
import { MAX_RULES, rule } from './task-schema.js';

/** Larger decisions do not travel through Temporal. */
const MAX_DECISION_BYTES = 65_536;

/** A decision on a permission request. @throws TaskError `BadInput` */
export function parseDecision(value: unknown): PermissionDecision {
  const decision = parse<PermissionDecision>('decision', decisionSchema, value, ['updatedInput']);
  const bytes = new TextEncoder().encode(JSON.stringify(decision)).length;
  if (bytes <= MAX_DECISION_BYTES) return decision;
  throw badInput('decision', [{ path: [], expected: `at most ${MAX_DECISION_BYTES} bytes`, value: bytes }]);
}

/** A message to the task. @throws TaskError `BadInput` */
export const parseMessage = (value: unknown): TaskMessage =>
  parse<TaskMessage>('message', messageSchema, value, ['outputSchema']);

/** The schema of a message alone. @throws TaskError `BadInput` */
export const parseOutputSchema = (value: unknown): OutputSchema =>
  parse<{ outputSchema: OutputSchema }>('message', schemaOnly, { outputSchema: value }, ['outputSchema'])
    .outputSchema;

/** A change of model or reasoning effort; other ids are let through. @throws TaskError `BadInput` */
export const parseControl = (value: unknown): ControlChange =>
  parse<ControlChange>('control', controlSchema, value);

/** Rules for a running task, and ids of rules that it is to forget. @throws TaskError `BadInput` */
export const parseRules = (value: unknown): RulesChange => parse<RulesChange>('rules', rulesSchema, value);

const decisionSchema = is.strict<PermissionDecision>({
  requestId: is.name,
  behavior: is.oneOf('allow', 'deny'),
  scope: v.optional(is.oneOf('once', 'session')),
  updatedInput: v.optional(is.object),
  message: v.optional(is.anyString),
  decidedBy: v.optional(is.name),
});

const messageSchema = is.strict<TaskMessage>({
  messageId: is.name,
  text: is.messageText,
  steer: v.optional(is.boolean),
  images: v.optional(is.list(is.strict({ path: is.relativePath }))),
  outputSchema: v.optional(outputSchema),
});

const schemaOnly = is.strict<{ outputSchema: OutputSchema }>({ outputSchema });

/** Whether a control may have this value, whoever sets it. */
export function isControlValue(value: unknown): boolean {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
  return text.length <= BUDGETS.controlValue;
}

const controlSchema = is.strict<ControlChange>({
  id: is.name,
  value: is.that(`at most ${BUDGETS.controlValue} characters`, isControlValue),
});

const few = <T extends v.GenericSchema>(item: T) =>
  v.pipe(
    is.list(item),
    v.check((items) => items.length <= MAX_RULES, `at most ${MAX_RULES}`),
  );

const rulesSchema = v.pipe(
  is.strict<RulesChange>({
    add: v.optional(few(is.strict({ ruleId: is.name, rule }))),
    remove: v.optional(few(is.name)),
  }),
  v.check(({ add, remove }) => add !== undefined || remove !== undefined, 'add or remove'),
);
