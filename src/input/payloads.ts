import * as v from 'valibot';
import type { ControlChange, PermissionDecision, TaskMessage } from '../contract.js';
import * as is from './checks.js';
import { cleanJson } from './clean-json.js';
import { badInput, type Fault } from './faults.js';

/** Larger decisions do not travel through Temporal. */
const MAX_DECISION_BYTES = 65_536;

/** A decision on a permission request. @throws TaskError `BadInput` */
export function parseDecision(value: unknown): PermissionDecision {
  const decision = parse<PermissionDecision>('decision', decisionSchema, value);
  const bytes = new TextEncoder().encode(JSON.stringify(decision)).length;
  if (bytes <= MAX_DECISION_BYTES) return decision;
  throw badInput('decision', [{ path: [], expected: `at most ${MAX_DECISION_BYTES} bytes`, value: bytes }]);
}

/** A message to the task. @throws TaskError `BadInput` */
export const parseMessage = (value: unknown): TaskMessage =>
  parse<TaskMessage>('message', messageSchema, value);

/** A change of model or reasoning effort; other ids are let through. @throws TaskError `BadInput` */
export const parseControl = (value: unknown): ControlChange =>
  parse<ControlChange>('control', controlSchema, value);

const decisionSchema = is.strict({
  requestId: is.name,
  behavior: is.oneOf('allow', 'deny'),
  scope: v.optional(is.oneOf('once', 'session')),
  updatedInput: v.optional(is.object),
  message: v.optional(is.anyString),
  decidedBy: v.optional(is.name),
});

const messageSchema = is.strict({
  messageId: is.name,
  text: is.messageText,
  steer: v.optional(is.boolean),
  images: v.optional(is.list(is.strict({ path: is.relativePath }))),
});

const controlSchema = is.strict({ id: is.name, value: is.anything });

/** Undefined members are gone after cleaning, so optional ones are there or absent, as the contract has it. */
function parse<T>(root: string, schema: v.GenericSchema, value: unknown): T {
  const unclean: Fault[] = [];
  const clean = cleanJson(value, unclean);
  const faults = unclean.length > 0 ? unclean : is.check(schema, clean);
  if (faults.length > 0) throw badInput(root, faults);
  return clean as T;
}
