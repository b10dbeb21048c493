import { boundReport } from '../../budgets/bound-report.js';
import type { Progress, SessionReport } from '../../contract/index.js';
import type { ThreadTotals } from './event-sinks.js';
import type { ModelChoice } from './model-choice.js';
import { Pace } from './pace.js';
import type { TurnQueue } from './turn-queue.js';
import type { WorkflowLink } from './workflow-link.js';

/** Reports of progress: each is a few events of the workflow's history, so one a minute after the first few. */
const PROGRESS_BURST = 10;
const PROGRESS_MS = 60_000;

export interface ReportedParts {
  readonly threadId: string;
  readonly link: Pick<WorkflowLink, 'sessionChanged'>;
  readonly turns: TurnQueue;
  readonly choice: ModelChoice;
  readonly totals: ThreadTotals;
  /** How many sessions of the task began on this host before, over all its workers: what they said is older. */
  readonly session: number;
  /** What goes with each report. */
  readonly about: () => Partial<SessionReport>;
}

/** Reports of one session, at most. */
const REPORTS = 1_000_000_000;

/** What the workflow hears of a session. */
export interface SessionReports {
  /** The session as it is now. */
  report(): SessionReport;
  /** What the agent says of its progress; the workflow hears of it now and then, and with every report. */
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
