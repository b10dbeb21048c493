import { BUDGETS, cutLines, cutText, firstWithin, jsonBytes } from '../budgets/budgets.js';
import { boundRequests } from '../budgets/bound-request.js';
import { boundControls, IDS } from '../budgets/bound-report.js';
import type { TaskStatus } from '../contract/index.js';

/** Budgets of the fields of `state` in bytes; their sum fits into the answer. */
export const STATUS_BUDGETS: { readonly [K in keyof Required<TaskStatus>]: number } = {
  state: 64,
  taskId: 3_000,
  threadId: IDS.threadId,
  host: 512,
  listener: 4_096,
  parkedUntil: 64,
  model: IDS.model,
  seedId: 1_024,
  quarantineId: IDS.quarantineId,
  pending: BUDGETS.statePending,
  turns: 32,
  usage: 512,
  controls: BUDGETS.controls,
  decidedByRule: 128,
  warnings: 20 * (BUDGETS.warning + 8),
  lastError: BUDGETS.lastError,
  waitingFor: 1_024,
  progress: BUDGETS.progress,
  ui: BUDGETS.ui,
};

/** The newest are kept. */
export const MAX_WARNINGS = 20;

type Passing = 'parkedUntil' | 'waitingFor';

/** Changes of a status; undefined removes a field. */
export type StatusChange = Partial<Omit<TaskStatus, Passing>> & {
  [K in Passing]?: string | undefined;
};

/** The status with a change. */
export function changed(status: Readonly<TaskStatus>, change: StatusChange): TaskStatus {
  const { parkedUntil, waitingFor, ...rest } = { ...status, ...change };
  return {
    ...rest,
    ...(parkedUntil !== undefined && { parkedUntil }),
    ...(waitingFor !== undefined && { waitingFor }),
  };
}

/** Adds warnings, each cut to its limit, and keeps the newest. */
export const withWarnings = (warnings: readonly string[], texts: readonly string[]): string[] =>
  [...warnings, ...cut(texts)].slice(-MAX_WARNINGS);

/** The same, but a warning that is there already counts once. */
export const withNewWarnings = (warnings: readonly string[], texts: readonly string[]): string[] =>
  [...warnings, ...cut(texts).filter((text) => !warnings.includes(text))].slice(-MAX_WARNINGS);

const cut = (texts: readonly string[]): string[] =>
  texts.slice(-MAX_WARNINGS).map((text) => cutLines(text, BUDGETS.warning));

/** The status as `state` answers it, always within the limit of the answer. */
export function boundStatus(status: TaskStatus): TaskStatus {
  if (jsonBytes(status) <= BUDGETS.state) return status;
  const pending = boundRequests(status.pending, BUDGETS.statePending);
  const bounded = { ...status, pending, controls: boundControls(status.controls) };
  return jsonBytes(bounded) <= BUDGETS.state ? bounded : { ...withinFields(bounded), pending };
}

/** Each field within its budget. */
function withinFields(status: TaskStatus): TaskStatus {
  const fields = Object.entries(status).flatMap(([name, value]: [string, unknown]) => {
    const most = STATUS_BUDGETS[name as keyof TaskStatus] ?? 0;
    if (jsonBytes(value) <= most) return [[name, value]];
    if (typeof value === 'string') return [[name, cutText(value, most - 2)]];
    return Array.isArray(value) ? [[name, firstWithin(value, most).kept]] : [];
  });
  return Object.fromEntries(fields) as TaskStatus;
}
