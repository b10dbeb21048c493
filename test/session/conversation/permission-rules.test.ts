import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { PermissionRule } from '../../../src/contract/index.js';
import { changedPaths, placeRules } from '../../../src/session/conversation/rule-paths.js';
import { decideByRules, subjectOf } from '../../../src/session/conversation/permission-rules.js';
import { scriptOf, shellCommands } from '../../../src/session/conversation/shell-words.js';
import { testFolder } from '../../support/folders.js';

const command = (text: string) => subjectOf('command', { command: text }, []);
const decide = (subject: ReturnType<typeof subjectOf>, ...rules: PermissionRule[]) =>
  decideByRules(rules, subject);

describe('leading words of a command', () => {
  const allow: PermissionRule = { commandPrefix: ['git', 'status'], then: 'allow' };
  const deny: PermissionRule = { commandPrefix: ['rm'], then: 'deny' };

  test.each([
    ["/bin/bash -lc 'git status'", 'allow'],
    ['/bin/bash -lc \'git status --short "a b"\'', 'allow'],
    ['/usr/bin/zsh -c "git status"', 'allow'],
    ['git status -s', 'allow'],
    ['/bin/bash -lc \'git  "status" -s\'', 'allow'],
    ["/bin/bash -lc 'git statusx'", null],
    ['/bin/bash -lc git', null],
    ["/bin/bash -lc 'GIT_DIR=x git status'", null],
    ...[';', '|', '&', '$', '`', '<', '>', '\n'].map((char) => [
      `/bin/bash -lc 'git status ${char} rm x'`,
      null,
    ]),
    ['/bin/bash -lc \'git status "$(rm x)"\'', null],
    ["/bin/bash -lc 'git status \"unclosed'", null],
  ])('match %j for an allow: %s', (text, expected) => {
    expect(decide(command(text!), allow)).toBe(expected);
  });

  test.each([
    ["/bin/bash -lc 'rm -rf x'", 'deny'],
    ["/bin/bash -lc 'echo a && rm x'", 'deny'],
    ["/bin/bash -lc 'echo a\nrm x'", 'deny'],
    ["/bin/bash -lc 'A=1 B=2 rm x'", 'deny'],
    ['/bin/bash -lc \'echo "$(rm x)"\'', 'deny'],
    ["/bin/bash -lc 'echo `rm x`'", 'deny'],
    ["/bin/bash -lc '(rm x)'", 'deny'],
    ['/bin/bash -lc \'r""m x\'', 'deny'],
    ["/bin/bash -lc 'echo rm'", null],
    ['/bin/bash -lc \'echo "a; rm x"\'', null],
  ])('match %j for a deny: %s', (text, expected) => {
    expect(decide(command(text), deny)).toBe(expected);
  });
});

test('the first matching rule counts, and ask or no match leave the request open', () => {
  const rules: PermissionRule[] = [
    { pattern: '^make deploy', then: 'ask' },
    { commandPrefix: ['make'], then: 'allow' },
    { kind: 'command', then: 'deny' },
  ];
  expect(decide(command('make deploy'), ...rules)).toBeNull();
  expect(decide(command('make test'), ...rules)).toBe('allow');
  expect(decide(command('other'), ...rules)).toBe('deny');
  expect(decide(subjectOf('userInput', {}, []), ...rules)).toBeNull();
  expect(decide(subjectOf('userInput', {}, []), { then: 'allow' })).toBe('allow');
});

test('a pattern is searched in the script for a bounded time', () => {
  expect(decide(command("/bin/bash -lc 'npm test'"), { pattern: '^npm (test|ci)$', then: 'allow' })).toBe(
    'allow',
  );
  expect(decide(subjectOf('fileChange', {}, []), { pattern: '.*', then: 'allow' })).toBeNull();
  const evil = command(`${'a'.repeat(40)}!`);
  const begun = performance.now();
  expect(decide(evil, { pattern: '^(a+)+$', then: 'allow' })).toBeNull();
  expect(decide(evil, { pattern: '^(a+)+$', then: 'deny' })).toBe('deny');
  // Unbounded it would take hours.
  expect(performance.now() - begun).toBeLessThan(20_000);
});

describe('paths of a file change', () => {
  test.each<[string[], PermissionRule['then'], string | null]>([
    [['/w/src/a', '/w/src/b/c'], 'allow', 'allow'],
    [['/w/src'], 'allow', 'allow'],
    [['/w/src/a', '/w/other'], 'allow', null],
    [['/w/srcx'], 'allow', null],
    [[], 'allow', null],
    [['/w/other', '/w/src/a'], 'deny', 'deny'],
    [['/w/other'], 'deny', null],
  ])('match %j by a rule to %s: %s', (paths, then, expected) => {
    expect(decide(subjectOf('fileChange', {}, paths), { path: '/w/src/', then })).toBe(expected);
  });

  test('are resolved through links and detours, to new files and both ends of a move', async () => {
    const work = await testFolder();
    const outside = await testFolder();
    await mkdir(join(work, 'src'));
    await symlink(outside, join(work, 'src', 'link'));
    const rules = placeRules([{ path: 'src', then: 'allow' }], work);
    const of = (...changes: unknown[]) =>
      decideByRules(rules, subjectOf('fileChange', {}, changedPaths(changes, null, work)));
    expect(of({ path: 'src/new/file', kind: { type: 'add' } })).toBe('allow');
    expect(of({ path: join(work, 'src', 'a') }, { path: 'src/b' })).toBe('allow');
    expect(of({ path: 'src/link/file' })).toBeNull();
    expect(of({ path: 'src/../file' })).toBeNull();
    expect(of({ path: 'src/a', kind: { type: 'update', move_path: `${work}/out` } })).toBeNull();
    expect(
      decideByRules(rules, subjectOf('fileChange', {}, changedPaths([{ path: 'src/a' }], '/', work))),
    ).toBeNull();
  });
});

test('a rule matches server and tool of an MCP call', () => {
  const meta = { codex_approval_kind: 'mcp_tool_call', tool_name: 'read' };
  const call = subjectOf('elicitation', { serverName: 'files', _meta: meta }, []);
  const question = subjectOf('elicitation', { serverName: 'files', _meta: null }, []);
  const read: PermissionRule = { server: 'files', tool: 'read', then: 'allow' };
  expect(decide(call, read)).toBe('allow');
  expect(decide(question, read)).toBeNull();
  expect(decide(call, { ...read, tool: 'write' })).toBeNull();
  expect(decide(call, { ...read, server: 'other' })).toBeNull();
  expect(decide(question, { server: 'files', then: 'deny' })).toBe('deny');
  expect(decide(call, { kind: 'command', then: 'allow' })).toBeNull();
});

test('a script is split into words', () => {
  expect(shellCommands('a "b c"\'d\' \\e f\\ g')).toEqual([['a', 'b cd', 'e', 'f g']]);
  expect(shellCommands("a '' | b;c")).toEqual([['a', ''], ['b'], ['c']]);
  expect(shellCommands("a 'b")).toBeNull();
  expect(scriptOf(`/bin/bash -lc "echo 'x y' > f"`)).toBe("echo 'x y' > f");
  expect(scriptOf("/bin/bash -lc 'a' && rm")).toBe("/bin/bash -lc 'a' && rm");
  expect(scriptOf("python -c 'a'")).toBe("python -c 'a'");
});

describe('a deny rule for a path', () => {
  const rules = (deny: object): PermissionRule[] => [
    { ...deny, then: 'deny' },
    { kind: 'permissions', then: 'allow' },
    { kind: 'fileChange', then: 'allow' },
  ];
  const place = (path: object) => ({ entries: [{ path, access: 'write' }] });

  test.each([
    { write: ['/secret'] },
    { write: ['/a/../secret/x'] },
    { write: ['//secret/x'] },
    { write: ['/./secret/'] },
    { write: ['/'] },
    { write: ['secret'] },
    { write: 'secret' },
    place({ type: 'glob_pattern', pattern: '/secret/**' }),
    place({ type: 'special', value: { kind: 'root' } }),
    { later: true },
  ])('matches permissions on %j', (fileSystem) => {
    const subject = subjectOf('permissions', { permissions: { fileSystem } }, []);
    expect(decide(subject, ...rules({ path: '/secret' }))).toBe('deny');
    expect(decide(subject, ...rules({ grants: [{ path: '/secret', access: 'rw' }] }))).toBe('deny');
  });

  test('matches a link to it, which no allowed folder covers', async () => {
    const folder = await testFolder();
    await symlink('/etc', join(folder, 'link'));
    const asked = { permissions: { fileSystem: { write: [join(folder, 'link')] } } };
    const subject = subjectOf('permissions', asked, []);
    expect(decide(subject, ...rules({ path: '/etc' }))).toBe('deny');
    expect(decide(subject, { grants: [{ path: folder, access: 'rw' }], then: 'allow' })).toBeNull();
  });

  test('matches a change that opens a folder around it', () => {
    const paths = changedPaths([{ path: '/w/a', kind: { type: 'add' } }], '/', '/w');
    expect(decide(subjectOf('fileChange', {}, paths), ...rules({ path: '/secret' }))).toBe('deny');
  });
});
