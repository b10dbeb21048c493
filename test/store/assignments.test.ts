import { expect, test } from 'vitest';
import {
  beginAssignment,
  endAssignment,
  findAssignment,
  assignmentsOn,
  type AssignmentRecord,
} from '../../src/store/assignments.js';
import { range } from '../support/range.js';
import { useStore } from './support.js';

const use = useStore();
const assignment = (assignmentId: string, more: Partial<AssignmentRecord> = {}): AssignmentRecord => ({
  taskId: 't/1',
  runId: 'r',
  assignmentId,
  hostId: 'h1',
  ordinal: 0,
  ...more,
});

test('one of many concurrent assignments of a task is recorded, and all learn which', async () => {
  const begun = await Promise.all(
    range(0, 20).map((i) =>
      beginAssignment(use.store, assignment(`s${i}`, { hostId: `h${i % 2}`, runId: `r${i % 3}` })),
    ),
  );
  expect(new Set(begun.map(({ assignmentId }) => assignmentId)).size).toBe(1);
  expect(await findAssignment(use.store, 't/1')).toEqual(begun[0]);
});

test('an assignment starts again on its host, and on no other', async () => {
  const first = await beginAssignment(use.store, assignment('s', { ordinal: 2 }));
  expect(await beginAssignment(use.store, assignment('s', { ordinal: 2 }))).toEqual(first);
  expect(await beginAssignment(use.store, assignment('s', { hostId: 'h2' }))).toEqual(first);
});

test('the next assignment starts once the earlier one has ended on its host', async () => {
  await beginAssignment(use.store, assignment('s1'));
  for (const [ended, host] of [
    [assignment('s2'), 'h1'],
    [assignment('s1'), 'h2'],
    [assignment('s1', { taskId: 'another' }), 'h1'],
  ] as const) {
    await endAssignment(use.store, ended, host);
    expect(await beginAssignment(use.store, assignment('s2'))).toMatchObject({ assignmentId: 's1' });
  }
  await endAssignment(use.store, assignment('s1'), 'h1');
  await endAssignment(use.store, assignment('s1'), 'h1');
  expect(await findAssignment(use.store, 't/1')).toBeNull();
  expect(await beginAssignment(use.store, assignment('s2'))).toMatchObject({ assignmentId: 's2' });
});

test('the assignments of a host are listed without those of others', async () => {
  const mine = await beginAssignment(use.store, assignment('s1'));
  await beginAssignment(use.store, assignment('s2', { taskId: 'other', hostId: 'h2' }));
  expect(await assignmentsOn(use.store, 'h1')).toEqual([mine]);
  expect(await assignmentsOn(use.store, 'h3')).toEqual([]);
});
