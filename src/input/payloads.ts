import * as v from 'valibot';
import type { ControlChange, OutputSchema, PermissionDecision, TaskMessage } from '../contract/index.js';
import { BUDGETS } from '../budgets/budgets.js';
import * as is from './checks.js';
import { badInput } from './faults.js';
import { parse } from './parse.js';
import { outputSchema } from './strict-schema.js';

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
