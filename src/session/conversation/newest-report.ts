import type { SessionReport } from '../../contract/index.js';

/** Of reports only the newest counts; what is to be said beside goes with it. */
export class NewestReport {
  /** What was said last, to a workflow that knows it by its number. */
  #last: SessionReport | null = null;
  /** A report that has nothing but what each must have. */
  #bare: unknown = null;
  readonly #unsaid: string[] = [];

  /** One report in the place of those that were not sent yet, `old`, with what only they tell. */
  after(old: readonly SessionReport[], report: SessionReport): SessionReport {
    const argument = merged([...old, report], this.#unsaid.splice(0));
    const { warning: _, warnings: __, ...rest } = argument;
    this.#last = rest;
    return argument;
  }

  /**
   * Keeps a warning for the next report. What comes back is to be said again for it; null: nothing was said yet.
   * @param isOfReport the warning is that a report was refused: its optional parts may be why, so they go
   */
  warn(warning: string, isOfReport: boolean): SessionReport | null {
    this.#unsaid.push(warning);
    if (this.#last && isOfReport) this.#last = withoutMore(this.#last);
    return this.#last;
  }

  /** Nothing can be left out of this one any more. */
  markBare(argument: unknown): void {
    this.#bare = argument;
  }

  isBare(argument: unknown): boolean {
    return argument === this.#bare;
  }
}

/** Only the newest counts, with what only an earlier one tells, and with each warning. */
function merged(reports: readonly SessionReport[], more: readonly string[]): SessionReport {
  if (reports.length === 1 && more.length === 0) return reports[0]!;
  const inOrder = reports.toSorted((a, b) => a.revision - b.revision);
  const said = inOrder.flatMap(({ warning, warnings = [] }) => [...warnings, ...(warning ? [warning] : [])]);
  const warnings = [...new Set([...said, ...more])];
  const { warning: _, ...newest } = Object.assign({}, ...inOrder) as SessionReport;
  return { ...newest, ...(warnings.length > 0 && { warnings }) };
}

const withoutMore = ({ assignmentId, revision, activity, threadId, model, turns, usage }: SessionReport) => ({
  ...(assignmentId !== undefined && { assignmentId }),
  revision,
  activity,
  threadId,
  model,
  turns,
  usage,
});
