import { execFileSync } from 'node:child_process';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseTaskInput } from '../../../src/input/parse-task-input.js';
import { composeAgentsMd } from '../../../src/session/agent-channel/agents-md.js';
import { DEFAULT_EXCLUDES } from '../../../src/snapshots/snapshot-excludes.js';
import { firstMessages } from '../../../src/session/connect/first-messages.js';
import { prepareProtocol, protocolEnvironment } from '../../../src/session/agent-channel/protocol-folder.js';
import type { CodexTaskInput } from '../../../src/contract/index.js';
import { testFolder } from '../../support/folders.js';

const agentsMd = (input: CodexTaskInput, resumed = false) =>
  composeAgentsMd(parseTaskInput(input, 't1'), '/data/tasks/t1/work', resumed);

test('each earlier log is set aside, and a link in its place is not followed', async () => {
  const work = join(await testFolder(), 'work');
  await mkdir(work);
  const outside = join(await testFolder(), 'outside');
  await writeFile(outside, 'untouched');
  await symlink(outside, join(work, 'optio.log'));
  await symlink(outside, join(work, 'deliverables'));
  await mkdir(join(work, '.optio'));
  await symlink(join(outside, '..'), join(work, '.optio/bin'));
  await prepareProtocol(work);
  await writeFile(join(work, 'optio.log'), 'DONE\n');
  // The same task on another host reads its log on.
  await prepareProtocol(work, true);
  expect(await readFile(join(work, 'optio.log'), 'utf8')).toBe('DONE\n');
  await prepareProtocol(work);
  expect(await readFile(join(work, 'optio.log'), 'utf8')).toBe('');
  await writeFile(join(work, 'optio.log'), 'STATUS: second\n');
  await prepareProtocol(work);
  const aside = (count: string) => readFile(join(work, `optio.log.old${count}`), 'utf8');
  expect([await aside(''), await aside('.2'), await aside('.3')]).toEqual([
    'untouched',
    'DONE\n',
    'STATUS: second\n',
  ]);
  expect(await readFile(join(work, 'deliverables.old'), 'utf8')).toBe('untouched');
  expect(await readFile(outside, 'utf8')).toBe('untouched');
});

test('a program that opens a browser requests it in the log', async () => {
  const work = join(await testFolder(), 'work');
  await mkdir(work);
  await prepareProtocol(work);
  const env = protocolEnvironment({ hostProtocol: true }, work, { PATH: process.env['PATH'] });
  execFileSync('sh', ['-c', 'xdg-open "https://example.com/a b"; gio open https://example.org; $BROWSER x'], {
    env,
  });
  expect(await readFile(join(work, 'optio.log'), 'utf8')).toBe(
    'BROWSER: "https://example.com/a b"\nBROWSER: "https://example.org"\nBROWSER: "x"\n',
  );
  for (const name of [
    'sensible-browser',
    'www-browser',
    'open',
    'chromium',
    'chrome',
    'google-chrome',
    'firefox',
  ])
    expect(execFileSync('sh', ['-c', `command -v ${name}`], { env, encoding: 'utf8' })).toBe(
      `${work}-bin/${name}\n`,
    );
  expect(protocolEnvironment({ hostProtocol: false }, work, {})).toEqual({});
});

test('AGENTS.md shows the task’s sandbox, its excludes and its instructions verbatim', () => {
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

test.each<[CodexTaskInput, string, string]>([
  [{}, 'You may change files there and in `$TMPDIR`', 'Commands may use the network'],
  [{ sandbox: { mode: 'read-only' } }, 'not change them', 'You may change files'],
  [{ sandbox: { grants: [{ path: '/a', access: 'rw' }] } }, 'read and write `/a`', 'Commands may use'],
  [
    { sandbox: { mode: 'danger-full-access', grants: [{ path: '/a', access: 'ro' }] } },
    'can read and change whatever this user can',
    '/a',
  ],
  // What is left out is what the snapshot leaves out.
  [{}, DEFAULT_EXCLUDES.map((pattern) => `\`${pattern}\``).join(', '), 'Nothing in it is left out'],
  [{ snapshot: { exclude: [] } }, 'Nothing in it is left out', 'node_modules'],
  [{}, '`resume.log`\nhas one line for each start', 'You were resumed'],
  [{ snapshot: { checkpoint: 'off' } }, '# Your workplace', 'resume.log'],
  [{}, 'begin with `System: `', '# Instructions'],
  [{ hostProtocol: true }, 'begin with `System: `', 'optio-file:'],
  [{ ui: { fileDownload: false } }, '# Your workplace', 'optio-file:'],
  [
    { ui: { fileDownload: true }, limits: { downloadBytes: 77 } },
    'PATH relative\nto this folder, at most 77 bytes.',
    'DELIVERABLE',
  ],
  [{ ui: { fileDownload: true }, hostProtocol: true }, '`DELIVERABLE` is for whoever started', 'CALLER'],
])('AGENTS.md of %j has one text and lacks another', (input, says, not) => {
  const text = agentsMd(input);
  expect(text).toContain(says);
  expect(text).not.toContain(not);
});

test('AGENTS.md documents only keywords that somebody handles', () => {
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
])('%s: the first messages are in order', (_what, input, start, ids) => {
  const messages = firstMessages(parseTaskInput(input, 't1'), start, []);
  expect(messages.map(({ messageId }) => messageId)).toEqual(ids);
});
