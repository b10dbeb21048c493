import { expect, test } from 'vitest';
import { scriptedCodex } from '../../fakes/codex-calls.js';

test('what the agent says of its progress is in every report; words alone keep the percentage', async () => {
  const { conversation } = await scriptedCodex();
  expect(conversation.report().progress).toBeUndefined();
  conversation.setProgress({ percent: null, text: 'begins' });
  expect(conversation.report().progress).toEqual({ percent: null, text: 'begins' });
  conversation.setProgress({ percent: 40, text: 'compiles' });
  conversation.setProgress({ percent: null, text: 'links' });
  expect(conversation.report().progress).toEqual({ percent: 40, text: 'links' });
});

test('the workflow is told of the first ten changes of progress, not of each in a flood', async () => {
  const { conversation, reports } = await scriptedCodex();
  for (let percent = 1; percent <= 12; percent++) conversation.setProgress({ percent, text: 'on' });
  expect(reports.map(({ progress }) => progress?.percent)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(conversation.report().progress?.percent).toBe(12);
});
