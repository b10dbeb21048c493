import * as v from 'valibot';
import { BUDGETS } from '../budgets/budgets.js';
import * as is from '../input/checks.js';
import { nullable, shape, total } from '../input/shapes.js';
import type { RulesInForce } from '../contract/activities.js';
import type { CarriedTask } from './task-state.js';

const list = is.list(is.anything);

/** How each carried field is validated, and its largest size in bytes. */
const FIELDS = {
  version: [total, 32],
  from: [is.text, 64],
  // Excludes and metadata, nine hooks, a credential.
  spec: [is.object, 2 * BUDGETS.settings + 40 * 1024],
  startedAtMs: [total, 32],
  phase: [is.text, 64],
  // Open requests are counted with `permissions`.
  status: [is.object, BUDGETS.state - BUDGETS.statePending],
  result: [is.object, 64 * 1024 + 512],
  searchAttributes: [v.union([is.boolean, is.list(is.text)], 'true, false or a list of names'), 256],
  publishedAttributes: [is.object, 2_048],
  assignment: [is.object, 4_608],
  previousHost: [nullable(is.object), BUDGETS.movedRequests + 512],
  lastEventId: [total, 32],
  waitingForCredentialSinceMs: [nullable(total), 32],
  refusals: [list, 4_608],
  triesInVain: [total, 32],
  closing: [is.boolean, 8],
  isEnding: [is.boolean, 8],
  ending: [nullable(is.object), BUDGETS.failure + 256],
  refreshing: [is.boolean, 8],
  beforeExecuteDone: [is.boolean, 8],
  seedSavedDone: [is.boolean, 8],
  keptSpec: [nullable(is.object), 2_048],
  keptInput: [nullable(is.object), 2_048],
  rules: [
    v.nullish(shape<RulesInForce>({ revision: total, rules: list }), { revision: 0, rules: [] }),
    BUDGETS.rules + 64,
  ],
  outbox: [
    v.looseObject({ waiting: list, seen: list, closeSent: is.boolean }),
    BUDGETS.rememberedIds + BUDGETS.keptPlaces + 1_024,
  ],
  hookRequests: [is.object, BUDGETS.hookRequestIds + BUDGETS.deliverables + 32 * 1024],
  permissions: [
    v.looseObject({ open: list, settled: list, early: list }),
    BUDGETS.rememberedIds + BUDGETS.signal + BUDGETS.openRequests / 4,
  ],
} as const satisfies { readonly [K in keyof CarriedTask]: readonly [v.GenericSchema, number] };

type Names = keyof CarriedTask;
const NAMES = Object.keys(FIELDS) as Names[];

/** Validators of the carried fields. */
export const SCHEMAS = Object.fromEntries<v.GenericSchema>(NAMES.map((name) => [name, FIELDS[name][0]])) as {
  readonly [K in Names]: v.GenericSchema;
};

/** Largest size of each field in bytes; together with a cut input they fit into the budget. */
export const CARRIED_BUDGETS = Object.fromEntries(NAMES.map((name) => [name, FIELDS[name][1]])) as {
  readonly [K in Names]: number;
};
