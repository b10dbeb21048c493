import { expect, test } from 'vitest';
import { staleSnapshots, type Retained } from '../../src/store/retention.js';

/** A key's history, oldest first: `E1` is the end of run 1, `c1` a checkpoint of it. Gives what stays, oldest first. */
function kept(history: string, keep: number): string {
  const oldestFirst = history.split(' ').map((text): Retained & { text: string } => ({
    text,
    endState: text.startsWith('E') ? 'done' : 'running',
    ...(text.length > 1 && { runId: text.slice(1) }),
  }));
  const stale = new Set(staleSnapshots(oldestFirst.toReversed(), keep));
  return oldestFirst
    .filter((each) => !stale.has(each))
    .map(({ text }) => text)
    .join(' ');
}

test.each([
  ['ends alone: the newest stay', 'E1 E2 E3', 2, 'E2 E3'],
  ['checkpoints never take the place of an end', 'E1 E2 c3 c3 c3 c3', 2, 'E1 E2 c3'],
  ['an end takes the place of its checkpoints', 'E1 E2 c3 c3 c3 E3', 2, 'E2 E3'],
  ['where there is room the newest checkpoints stay', 'E1 c2 c2 c2 c2 E2', 4, 'E1 c2 c2 E2'],
  [
    'a run without an end keeps the checkpoint that another host needs',
    'c1 c1 E2 E3 c4 E5',
    2,
    'c1 E3 c4 E5',
  ],
  ['of many such runs only the newest', 'c1 c2 c3 c4 E5 E6', 2, 'c3 c4 E5 E6'],
  ['those of earlier versions count as one run', 'E c c c E2', 1, 'c E2'],
  ['0 leaves none', 'E1 c2', 0, ''],
])('%s', (_name, history, keep, expected) => {
  expect(kept(history, keep)).toBe(expected);
});
