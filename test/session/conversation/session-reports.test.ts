import { expect, test } from 'vitest';
import { scriptedCodex } from '../../fakes/codex-calls.js';

test('every report has the agent’s progress, and a text alone keeps the percentage', async () => {
  const { thread } = await scriptedCodex();
  expect(thread.report().progress).toBeUndefined();
  thread.reports.setProgress({ percent: null, text: 'begins' });
  expect(thread.report().progress).toEqual({ percent: null, text: 'begins' });
  thread.reports.setProgress({ percent: 40, text: 'compiles' });
  thread.reports.setProgress({ percent: null, text: 'links' });
  expect(thread.report().progress).toEqual({ percent: 40, text: 'links' });
});

test('the workflow is told the first ten changes of progress, not each of a flood', async () => {
  const { thread, reports } = await scriptedCodex();
  for (let percent = 1; percent <= 12; percent++) thread.reports.setProgress({ percent, text: 'on' });
  expect(reports.map(({ progress }) => progress?.percent)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(thread.report().progress?.percent).toBe(12);
});
