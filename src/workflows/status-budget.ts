import { BUDGETS, cutLines, cutText, firstWithin, jsonBytes } from '../budgets/budgets.js';
import { boundRequests } from '../budgets/bound-request.js';
import { boundControls, IDS } from '../budgets/bound-report.js';
import type { TaskStatus } from '../contract/index.js';

/** What the fields of `state` may have, bytes; their sum is within that of the answer. */
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

/** Adds a warning, cut to what one may have. */
export const addWarning = (status: TaskStatus, text: string): void => addWarnings(status, [text], true);

/** What the host says again counts once. */
export function addWarnings(status: TaskStatus, warnings: readonly string[], again = false): void {
  const short = warnings.slice(-MAX_WARNINGS).map((warning) => cutLines(warning, BUDGETS.warning));
  const fresh = short.filter((warning) => again || !status.warnings.includes(warning));
  if (fresh.length > 0) status.warnings = [...status.warnings, ...fresh].slice(-MAX_WARNINGS);
}

/** The status as `state` answers it: with less than that answer may have, whatever came. */
export function boundStatus(status: TaskStatus): TaskStatus {
  if (jsonBytes(status) <= BUDGETS.state) return status;
  const pending = boundRequests(status.pending, BUDGETS.statePending);
  const bounded = { ...status, pending, controls: boundControls(status.controls) };
  return jsonBytes(bounded) <= BUDGETS.state ? bounded : { ...withinFields(bounded), pending };
}

/** Each field within what it may have. */
function withinFields(status: TaskStatus): TaskStatus {
  const fields = Object.entries(status).flatMap(([name, value]: [string, unknown]) => {
    const most = STATUS_BUDGETS[name as keyof TaskStatus] ?? 0;
    if (jsonBytes(value) <= most) return [[name, value]];
    if (typeof value === 'string') return [[name, cutText(value, most - 2)]];
    return Array.isArray(value) ? [[name, firstWithin(value, most).kept]] : [];
  });
  return Object.fromEntries(fields) as TaskStatus;
}
