import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { taskWord } from '../../src/cli/shell-word.js';

test.each(['fix-42', 'ticket/123', 'a b', "it's", '$(id)', '夜 🌙', '-x', '--json', '`id`', '*'])(
  'quotes %j so that a shell reads that id',
  (taskId) => {
    const read = execFileSync('sh', ['-c', `printf '%s\\n' ${taskWord(taskId)}`], { encoding: 'utf8' });
    expect(read.replace(/^--\n/, '')).toBe(`${taskId}\n`);
    if (taskId.startsWith('-')) expect(taskWord(taskId)).toMatch(/^-- /);
  },
);

test('leaves plain ids unquoted', () => {
  for (const id of ['fix-42', 'ticket/123', 'nightly-2026-11-30T09:43:02Z']) expect(taskWord(id)).toBe(id);
});
