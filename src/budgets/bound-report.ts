import { BUDGETS, cutLines, cutText, firstWithin, jsonBytes } from './budgets.js';
import type { Control, SessionReport } from '../contract/index.js';

/** What names may have, bytes. */
export const IDS = { threadId: 512, model: 1_024, quarantineId: 128 } as const;

/** A report of which every text has its limit. */
export function boundReport(report: SessionReport): SessionReport {
  const { model, threadId, lastError, progress, controls, quarantineId } = report;
  return {
    ...report,
    model: model && cutText(model, IDS.model),
    threadId: threadId && cutText(threadId, IDS.threadId),
    ...(lastError !== undefined && { lastError: cutLines(lastError, BUDGETS.lastError) }),
    ...(progress && { progress: { ...progress, text: cutText(progress.text, BUDGETS.progress - 64) } }),
    ...(controls && { controls: boundControls(controls) }),
    ...(quarantineId && { quarantineId: cutText(quarantineId, IDS.quarantineId) }),
  };
}

/** Controls with as many of their options as fit; the value in force stays with each. */
export function boundControls(controls: Control[]): Control[] {
  if (jsonBytes(controls) <= BUDGETS.controls) return controls;
  const each = Math.floor(BUDGETS.controls / Math.max(controls.length, 1)) - 1_024;
  const bounded = controls.map((control) =>
    control.kind === 'select'
      ? { ...control, options: firstWithin(control.options, each).kept }
      : { ...control, levels: firstWithin(control.levels, each).kept },
  );
  return firstWithin(bounded, BUDGETS.controls).kept;
}
