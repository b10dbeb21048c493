import { expect, test } from 'vitest';
import { scriptedCodex } from '../../fakes/codex-calls.js';

test('what the agent says of its progress is in every report; words alone keep the percentage', async () => {
  const { thread } = await scriptedCodex();
  expect(thread.report().progress).toBeUndefined();
  thread.setProgress({ percent: null, text: 'begins' });
  expect(thread.report().progress).toEqual({ percent: null, text: 'begins' });
  thread.setProgress({ percent: 40, text: 'compiles' });
  thread.setProgress({ percent: null, text: 'links' });
  expect(thread.report().progress).toEqual({ percent: 40, text: 'links' });
});

test('the workflow is told of the first ten changes of progress, not of each in a flood', async () => {
  const { thread, reports } = await scriptedCodex();
  for (let percent = 1; percent <= 12; percent++) thread.setProgress({ percent, text: 'on' });
  expect(reports.map(({ progress }) => progress?.percent)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(thread.report().progress?.percent).toBe(12);
});
