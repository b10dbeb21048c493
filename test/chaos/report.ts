import { FAULTS } from './faults-of-chaos.js';
import { PHASE_ORDER } from './plan.js';
import type { RunResult } from './results.js';

/** A set of runs as Markdown that is readable as it is: counts, reconnects, and the table of faults and points. */
export function reportOf(runs: readonly RunResult[]): string {
  return [countsOf(runs), reconnectsOf(runs), tableOf(runs), failuresOf(runs)]
    .filter((part) => part !== '')
    .join('\n\n');
}

function countsOf(runs: readonly RunResult[]): string {
  const sum = (of: (run: RunResult) => number) => runs.reduce((total, run) => total + of(run), 0);
  const failed = runs.filter(({ wrong }) => wrong.length > 0);
  const ends = tally(runs.flatMap(({ tasks }) => tasks));
  const hits = runs.flatMap((run) => run.hits).filter(({ outcome }) => !NOT_DONE.has(outcome));
  return [
    `${runs.length} runs, ${failed.length} failed; ${hits.length} faults in ${sum(({ tasks }) => tasks.length)} tasks: ${ends}.`,
    `${sum(({ messages }) => messages)} messages, ${sum(({ requests }) => requests)} requests to the model,`,
    `${sum(({ events }) => events)} events, ${sum(({ decisions }) => decisions)} decisions,`,
    `${sum(({ rotations }) => rotations)} rotations, ${sum(({ refreshes }) => refreshes)} refreshes.`,
    `A run took ${seconds(median(runs.map(({ ms }) => ms)))} s at the median.`,
  ].join('\n');
}

const NOT_DONE = new Set(['not reached', 'skipped']);

function reconnectsOf(runs: readonly RunResult[]): string {
  const rows = [
    ['worker killed, or with a codex', runs.filter(({ onlyKills }) => onlyKills)],
    ['the same beside outages, freezes or a full disk', runs.filter(({ onlyKills }) => !onlyKills)],
  ] as const;
  const cells = rows.map(([what, some]) => {
    const all = some.flatMap(({ receivedMs }) => receivedMs).sort((a, b) => a - b);
    const part = (p: number) => (all.length > 0 ? `${quantile(all, p)} ms` : '');
    return [what, part(0.5), part(0.99), part(1), String(all.length)];
  });
  return markdownTable(['Process start → subscriber receives again', 'p50', 'p99', 'max', 'n'], cells);
}

function tableOf(runs: readonly RunResult[]): string {
  const hits = runs.flatMap((run) => run.hits);
  const phases = PHASE_ORDER.filter((phase) => hits.some((hit) => hit.phase === phase));
  const faults = FAULTS.filter((fault) => hits.some((hit) => hit.fault === fault));
  const cell = (fault: string, phase: string) =>
    tally(
      hits.filter((hit) => hit.fault === fault && hit.phase === phase).map(({ outcome }) => outcome),
      'not reached',
    );
  return markdownTable(
    ['Point', ...faults],
    phases.map((phase) => [phase, ...faults.map((fault) => cell(fault, phase))]),
  );
}

function failuresOf(runs: readonly RunResult[]): string {
  return runs
    .filter(({ wrong }) => wrong.length > 0)
    .map(({ seed, wrong, again }) => {
      const next = again && (again.length === 0 ? 'whole the next time' : 'failed the next time too');
      return [`Seed ${seed}${next ? `, ${next}` : ''}:`, ...wrong.map((each) => `- ${each}`)].join('\n');
    })
    .join('\n\n');
}

function tally(outcomes: readonly string[], leftOut = ''): string {
  const counts = new Map<string, number>();
  for (const outcome of outcomes.filter((each) => each !== leftOut))
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([outcome, n]) => `${n} ${outcome}`)
    .join(', ');
}

const seconds = (ms: number): string => (ms / 1_000).toFixed(1);

const median = (values: readonly number[]): number =>
  values.length > 0
    ? quantile(
        [...values].sort((a, b) => a - b),
        0.5,
      )
    : 0;

/** Of sorted values: the smallest that is not below that part of them. */
const quantile = (sorted: readonly number[], part: number): number =>
  sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)]!;

function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((name, i) => Math.max(3, name.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}
