import type { SessionReport } from '../../contract/index.js';

/** Only the newest report counts; warnings and parts of earlier ones are merged into it. */
export class NewestReport {
  /** The last sent report, to a workflow that knows it by its number. */
  #last: SessionReport | null = null;
  /** A report with its required fields only. */
  #bare: unknown = null;
  readonly #unsaid: string[] = [];

  /** Merges reports that were not sent yet, `old`, into one. */
  after(old: readonly SessionReport[], report: SessionReport): SessionReport {
    const argument = merged([...old, report], this.#unsaid.splice(0));
    const { warning: _, warnings: __, ...rest } = argument;
    this.#last = rest;
    return argument;
  }

  /**
   * Adds a warning to the next report. Returns the report to repeat for it; null: none was sent yet.
   * @param isOfReport the warning is about a refused report, whose optional parts may be the cause and are dropped
   */
  warn(warning: string, isOfReport: boolean): SessionReport | null {
    this.#unsaid.push(warning);
    if (this.#last && isOfReport) this.#last = withoutMore(this.#last);
    return this.#last;
  }

  /** Nothing can be left out of this report any more. */
  markBare(argument: unknown): void {
    this.#bare = argument;
  }

  isBare(argument: unknown): boolean {
    return argument === this.#bare;
  }
}

/** The newest report, with fields that only an earlier one has, and with all warnings. */
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
