import { appendFileSync, readFileSync } from 'node:fs';
import type { Fault } from './faults-of-chaos.js';
import type { Phase } from './plan.js';

/** What one run counted and found. */
export interface RunResult {
  seed: number;
  ms: number;
  /** All that was not as it must be. */
  wrong: string[];
  /** The end of each task: `whole`, or `stopped:` with the code of its failure. */
  tasks: string[];
  messages: number;
  requests: number;
  events: number;
  decisions: number;
  rotations: number;
  refreshes: number;
  hits: { phase: Phase; fault: Fault; outcome: string }[];
  /** Of each subscriber of a killed worker: from the next one's beginning until it received again. */
  receivedMs: number[];
  /** No other fault could have kept a subscriber waiting. */
  onlyKills: boolean;
  /** Of a failed run: what came of the same plan the next time. */
  again?: string[];
}

/** The runs of a set, kept in a file of one JSON line each when there is a name for it. */
export function openResults(file: string | undefined) {
  const all = file === undefined ? [] : read(file);
  return {
    all,
    has: (seed: number) => all.some((run) => run.seed === seed),
    add(run: RunResult): void {
      all.push(run);
      if (file !== undefined) appendFileSync(file, `${JSON.stringify(run)}\n`);
    },
  };
}

function read(file: string): RunResult[] {
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as RunResult);
}
