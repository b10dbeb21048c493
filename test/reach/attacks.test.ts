import { expect, test, vi } from 'vitest';
import type { SandboxSettings } from '../../src/contract/index.js';
import { mayChangeKernel } from '../../src/process/kernel-settings.js';
import { startAttacked, type Reached, type Way } from './attack-runs.js';
import { expectedTable, PREPARING, ROWS } from './expected.js';

// Time for a busy machine.
vi.setConfig({ testTimeout: 180_000 });

/** For each sandbox, which columns of the table it shows, and by which way. */
const RUNS: readonly (readonly [SandboxSettings, Readonly<Record<string, Way>>])[] = [
  [{ mode: 'read-only' }, { 'read-only': 'sandboxed', approved: 'approved' }],
  [
    {},
    {
      'workspace-write': 'sandboxed',
      'left running': 'left running',
      approved: 'approved',
      'approved, left running': 'approved, left running',
    },
  ],
  [{ network: true }, { network: 'sandboxed', 'approved, network': 'approved' }],
  [{ mode: 'danger-full-access' }, { 'danger-full-access': 'sandboxed' }],
];

const expected = expectedTable();

test.each(RUNS)(
  'an agent with sandbox %j reaches what the table says, cell by cell',
  async (sandbox, columns) => {
    const attack = await startAttacked(sandbox);
    for (const [column, way] of Object.entries(columns)) {
      const reached = await attack(way);
      expect({ column, ...cellsOf(reached) }).toEqual({ column, ...expected[column] });
      // What cannot be kept from a worker's root is what it is warned of.
      expect(reached['settings of the kernel']).toBe(mayChangeKernel());
      expect(Object.keys(reached).sort()).toEqual([...Object.values(ROWS).flat(), ...PREPARING].sort());
    }
  },
);

test('the table has a column for each run and a row for each attempt, and no more', () => {
  expect(Object.keys(expected).sort()).toEqual(
    [...new Set(RUNS.flatMap(([, columns]) => Object.keys(columns)))].sort(),
  );
  for (const cells of Object.values(expected)) expect(Object.keys(cells)).toEqual(Object.keys(ROWS));
});

const cellsOf = (reached: Reached): Record<string, string> =>
  Object.fromEntries(
    Object.entries(ROWS).map(([row, attempts]) => [
      row,
      attempts.some((each) => reached[each]) ? 'yes' : 'no',
    ]),
  );
