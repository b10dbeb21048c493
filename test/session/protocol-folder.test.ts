import { execFileSync } from 'node:child_process';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseTaskInput } from '../../src/task-input.js';
import { composeAgentsMd } from '../../src/session/agents-md.js';
import { firstMessages } from '../../src/session/first-messages.js';
import { prepareProtocol, protocolEnvironment } from '../../src/session/protocol-folder.js';
import type { CodexTaskInput } from '../../src/contract.js';
import { testFolder } from '../support/folders.js';

const agentsMd = (input: CodexTaskInput, resumed = false) =>
  composeAgentsMd(parseTaskInput(input, 't1'), '/data/tasks/t1/work', resumed);

test('an earlier log is moved aside, and a link in its place is not followed', async () => {
  const work = await testFolder();
  const outside = join(await testFolder(), 'outside');
  await writeFile(outside, 'untouched');
  await symlink(outside, join(work, 'optio.log'));
  await symlink(outside, join(work, 'deliverables'));
  await mkdir(join(work, '.optio'));
  await symlink(join(outside, '..'), join(work, '.optio/bin'));
  await prepareProtocol(work);
  await writeFile(join(work, 'optio.log'), 'DONE\n');
  await prepareProtocol(work);
  expect(await readFile(join(work, 'optio.log'), 'utf8')).toBe('');
  expect(await readFile(join(work, 'optio.log.old'), 'utf8')).toBe('DONE\n');
  expect(await readFile(outside, 'utf8')).toBe('untouched');
});

test('a program that opens a browser asks for it in the log', async () => {
  const work = await testFolder();
  await prepareProtocol(work);
  const env = protocolEnvironment({ hostProtocol: true }, work, { PATH: process.env['PATH'] });
  execFileSync('sh', ['-c', 'xdg-open "https://example.com/a b"; gio open https://example.org; $BROWSER x'], {
    env,
  });
  expect(await readFile(join(work, 'optio.log'), 'utf8')).toBe(
    'BROWSER: "https://example.com/a b"\nBROWSER: "https://example.org"\nBROWSER: "x"\n',
  );
  expect(protocolEnvironment({ hostProtocol: false }, work, {})).toEqual({});
});

test('AGENTS.md tells the sandbox that the task has, the excludes in force and the instructions verbatim', () => {
  const instructions = '# Mine\n\n  keep  this ';
  const text = agentsMd({
    instructions,
    sandbox: { network: true, grants: [{ path: '/opt/data', access: 'ro' }] },
    snapshot: { exclude: ['big/*'] },
  });
  expect(text).toContain('Commands may use the network.');
  expect(text).toContain('You may also read `/opt/data`.');
  expect(text).toContain('`big/*`');
  expect(text).not.toContain('node_modules');
  expect(text).toContain(instructions);
  expect(text).not.toContain('DELIVERABLE');
  expect(text).toContain('`System: `');
  expect(agentsMd({ sandbox: { mode: 'danger-full-access' } })).toContain('not confined');
  expect(agentsMd({}, true)).toContain('resume.log');
});

test('AGENTS.md documents the keywords that reach somebody', () => {
  const text = agentsMd({ hostProtocol: true });
  for (const keyword of ['STATUS', 'DELIVERABLE', 'DONE', 'ERROR', 'ATTENTION', 'BROWSER', 'CLIENT_MESSAGE'])
    expect(text).toContain(`\`${keyword}`);
  expect(text).not.toContain('CALLER_MESSAGE');
  const hooks = { onCallerMessage: { taskQueue: 'q', activityType: 'a' } };
  expect(agentsMd({ hostProtocol: true, hooks })).toContain('CALLER_MESSAGE');
});

test.each<[string, CodexTaskInput, 'new' | 'resumed' | 'again', string[]]>([
  ['a prompt', { prompt: 'p', instructions: 'i' }, 'new', ['prompt']],
  ['instructions alone', { instructions: 'i' }, 'new', ['kickoff']],
  ['instructions alone, resumed', { instructions: 'i' }, 'resumed', []],
  [
    'a resumed task that reads the log',
    { prompt: 'p', hostProtocol: true },
    'resumed',
    ['resumed', 'prompt'],
  ],
  ['a resumed task', { prompt: 'p' }, 'resumed', ['prompt']],
  ['nothing', {}, 'new', []],
  ['a task that is taken up', { instructions: 'i' }, 'again', []],
])('%s: the first messages', (_what, input, start, ids) => {
  const messages = firstMessages(parseTaskInput(input, 't1'), start, []);
  expect(messages.map(({ messageId }) => messageId)).toEqual(ids);
});
