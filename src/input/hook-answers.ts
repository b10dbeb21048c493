import * as v from 'valibot';
import type { HookName, HookResults } from '../contract/index.js';
import * as is from './checks.js';
import { isObject } from './clean-json.js';
import { parse } from './parse.js';
import { optional, shape, variant } from './shapes.js';

/**
 * A hook's answer as the contract has it; nothing and null mean the same, also inside of it.
 * @throws TaskError `BadInput`
 */
export function parseHookAnswer<N extends HookName>(name: N, value: unknown): HookResults[N] {
  const schema: v.GenericSchema | null = ANSWERS[name];
  if (schema === null || value === null || value === undefined) return null;
  return parse<HookResults[N]>('its answer', schema, value, AS_THEY_ARE);
}

/** A refreshed input keeps what is handed on as it is. */
const AS_THEY_ARE = ['ui', 'captureSeed.metadata'];

type Judgement = NonNullable<HookResults['onPermissionRequest']>;
const judgement = { behavior: is.anyString, message: optional(is.anyString) } satisfies is.Members<Judgement>;

/** Null: whatever it answers is not looked at. */
const ANSWERS: Record<HookName, v.GenericSchema | null> = {
  beforeExecute: null,
  afterExecute: null,
  onUpload: null,
  onSeedSaved: null,
  onDeliverable: is.anyString,
  onCallerMessage: is.anyString,
  // Its fields are judged with the rest of the input.
  onResumeRefresh: is.that<object>('an object', isObject),
  onPermissionRequest: variant<Judgement>('behavior', {
    allow: shape<Judgement>(judgement),
    deny: shape<Judgement>(judgement),
    ask: shape<Judgement>(judgement),
  }),
  seedProvider: is.that<string>('the id of a seed', (value) => v.is(is.name, value)),
};
