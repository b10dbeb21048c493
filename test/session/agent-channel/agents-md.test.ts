import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { readConfig, type Config } from '../../../src/config.js';
import type { SandboxSettings } from '../../../src/contract/index.js';
import { composeAgentsMd } from '../../../src/session/agent-channel/agents-md.js';
import { gitEnvironment } from '../../../src/session/agent-channel/git-author.js';
import { parseTaskInput } from '../../../src/input/parse-task-input.js';
import { testFolder } from '../../support/folders.js';

const about = (sandbox: SandboxSettings) =>
  composeAgentsMd(parseTaskInput({ credential: { none: true }, sandbox }, 't1'), '/work');

test.each<[SandboxSettings, RegExp | null]>([
  [{}, /`\.git`.* are read-only:.* subfolder/s],
  [{ git: 'writable' }, /`\.git` .* can be written.*`git init`/s],
  [{ mode: 'danger-full-access' }, null],
  [{ mode: 'read-only' }, null],
])('AGENTS.md says what the agent may do with .git, with %j', (sandbox, said) => {
  if (said === null) expect(about(sandbox)).not.toContain('.git');
  else expect(about(sandbox)).toMatch(said);
});

test('AGENTS.md names the author of commits set on the host or on the task', () => {
  const told = (config: Pick<Config, 'gitAuthor'>, own = {}) => {
    const spec = parseTaskInput({ credential: { none: true } }, 't1');
    return composeAgentsMd({ ...spec, env: { ...gitEnvironment(config), ...own } }, '/work');
  };
  const { gitAuthor } = readConfig({ CODEX_TASK_GIT_AUTHOR: ' Ada Bot  <bot@example.com>' });
  expect(told({ gitAuthor })).toContain('by `Ada Bot <bot@example.com>`');
  expect(told({ gitAuthor }, { GIT_AUTHOR_NAME: 'Own' })).toContain('by `Own <bot@example.com>`');
  expect(told({ gitAuthor: null })).toContain('Git knows no author here');
});

test.each(['Ada', '<a@b>', 'Ada <>', 'Ada <a b>', 'A <b> <c@d>', 'A\nB <c@d>'])(
  'the start refuses the author %j',
  (text) => {
    expect(() => readConfig({ CODEX_TASK_GIT_AUTHOR: text })).toThrow(/CODEX_TASK_GIT_AUTHOR: expected Name/);
  },
);

test('a commit in a new repository has the author set on the host', async () => {
  const repository = await testFolder();
  const { gitAuthor } = readConfig({ CODEX_TASK_GIT_AUTHOR: 'Ada Bot <bot@example.com>' });
  const env = { PATH: process.env['PATH'], HOME: repository, ...gitEnvironment({ gitAuthor }) };
  const git = (...args: string[]) => execFileSync('git', args, { cwd: repository, env, encoding: 'utf8' });
  git('init', '-q', '.');
  git('commit', '-q', '--allow-empty', '-m', 'first');
  expect(git('log', '--format=%an <%ae> %cn <%ce>')).toBe(
    'Ada Bot <bot@example.com> Ada Bot <bot@example.com>\n',
  );
});
