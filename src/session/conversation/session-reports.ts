import { boundReport } from '../../budgets/bound-report.js';
import type { Progress, SessionReport } from '../../contract/index.js';
import type { ThreadTotals } from './event-sinks.js';
import type { ModelChoice } from './model-choice.js';
import { Pace } from './pace.js';
import type { TurnQueue } from './turn-queue.js';
import type { WorkflowLink } from './workflow-link.js';

/** Limits reports of progress, each a few events of the workflow's history, to one a minute after the first few. */
const PROGRESS_BURST = 10;
const PROGRESS_MS = 60_000;

export interface ReportedParts {
  readonly threadId: string;
  readonly link: Pick<WorkflowLink, 'sessionChanged'>;
  readonly turns: TurnQueue;
  readonly choice: ModelChoice;
  readonly totals: ThreadTotals;
  /** How many sessions of the task began on this host before, over all its workers: their reports are older. */
  readonly session: number;
  /** Added to each report. */
  readonly about: () => Partial<SessionReport>;
}

/** Most reports of one session. */
const REPORTS = 1_000_000_000;

/** Reports of a session to the workflow. */
export interface SessionReports {
  /** The present state of the session. */
  report(): SessionReport;
  /** Progress as the agent states it, in every report and now and then in one of its own. */
  setProgress(progress: Progress): void;
}

export function openSessionReports({
  threadId,
  link,
  turns,
  choice,
  totals,
  session,
  about,
}: ReportedParts): SessionReports {
  const pace = new Pace(PROGRESS_BURST, PROGRESS_MS);
  let revision = session * REPORTS;
  let agentProgress: Progress | null = null;

  function report(): SessionReport {
    const { usage, lastError } = totals;
    return boundReport({
      ...about(),
      revision: ++revision,
      activity: turns.isBusy ? 'running' : 'idle',
      threadId,
      model: choice.model,
      turns: totals.turns,
      usage,
      ...(lastError !== undefined && { lastError }),
      ...(agentProgress && { progress: agentProgress }),
    });
  }

  return {
    report,
    setProgress({ percent, text }) {
      agentProgress = { percent: percent ?? agentProgress?.percent ?? null, text };
      if (pace.take()) link.sessionChanged(report());
    },
  };
}
