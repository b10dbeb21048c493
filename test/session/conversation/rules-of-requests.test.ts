import { describe, expect, test } from 'vitest';
import { describeRequest } from '../../../src/codex/requests.js';
import type { PermissionKind, PermissionRule } from '../../../src/contract/index.js';
import { parseExecpolicy } from '../../../src/input/execpolicy.js';
import { decideByRules, subjectOf } from '../../../src/session/conversation/permission-rules.js';
import { parseTaskInput } from '../../../src/input/parse-task-input.js';

const COMMAND = 'item/commandExecution/requestApproval';
const ITEM = { threadId: 't', turnId: 'u', itemId: 'i' };
const ALLOW_COMMANDS: PermissionRule = { kind: 'command', then: 'allow' };
const denies = (...commandPrefix: (string | string[])[]): PermissionRule => ({ commandPrefix, then: 'deny' });
const allows = (...commandPrefix: (string | string[])[]): PermissionRule => ({
  commandPrefix,
  then: 'allow',
});
const asCodex = (script: string) => `/bin/bash -lc '${script.replaceAll("'", `'\\''`)}'`;

const decide = (command: unknown, rules: PermissionRule[], more: object = {}) => {
  const described = describeRequest(COMMAND, { ...ITEM, command, ...more })!;
  return decideByRules(rules, subjectOf(described.kind, described.input, []));
};

describe('a deny rule', () => {
  test.each([
    'if true; then git push; fi',
    '{ git push; }',
    'nohup git push',
    'timeout 5 git push',
    'env X=1 git push',
    'sudo -u root git push',
    '/usr/bin/git push',
    './git push',
    'git -C . push',
    'git --no-pager -c user.name=x push origin',
    'bash -c "git push"',
    'sh -lc "cd x && git push"',
    'eval "git push"',
    'f() { git push; }; f',
    'find . -name x -exec git push {} +',
    'xargs git < list',
    'watch "git push"',
    'ssh host git push',
    'python3 -c "import os; os.system(\'git push\')"',
    'bash deploy.sh',
    'source ./env',
    '$TOOL push',
    'PATH=/x:$PATH git status',
    'git push "unclosed',
    'git $ACTION',
    'alias p="git push"; p',
    'echo "git push" | sh',
    'mapfile -C "git push" -c 1',
    'git -c alias.x="!git push" x',
    'awk \'BEGIN { system("git push") }\'',
  ])('for git push matches %j', (script) => {
    expect(decide(script, [denies('git', 'push'), ALLOW_COMMANDS])).toBe('deny');
    expect(decide(asCodex(script), [denies('git', 'push'), ALLOW_COMMANDS])).toBe('deny');
  });

  test.each(['rm -rf x', 'rm -fr x', 'rm -r -f x', 'rm --recursive --force x', 'rm x -vrf', 'rm $FLAGS x'])(
    'for rm -rf matches %j',
    (script) => expect(decide(asCodex(script), [denies('rm', '-rf'), ALLOW_COMMANDS])).toBe('deny'),
  );

  test.each([
    'git status',
    'git pull',
    'git log --format="%h (%an)"',
    'echo "git push"',
    'git commit -m "then git push"',
    'rm -r x',
    'ls -la | grep push',
  ])('ignores %j', (script) => {
    expect(decide(asCodex(script), [denies('git', 'push'), denies('rm', '-rf'), ALLOW_COMMANDS])).toBe(
      'allow',
    );
  });

  test.each<[string, PermissionRule]>([
    ['commandPrefix', denies('rm')],
    ['pattern', { pattern: 'rm', then: 'deny' }],
  ])('by %s matches a command that Codex does not name', (_, rule) => {
    expect(decide(null, [rule, ALLOW_COMMANDS])).toBe('deny');
    expect(decide(undefined, [{ ...rule, then: 'ask' }, ALLOW_COMMANDS])).toBeNull();
  });

  test('by path matches a change of unknown files, and says so', () => {
    const described = describeRequest('item/fileChange/requestApproval', ITEM)!;
    const rules: PermissionRule[] = [{ path: '/secret', then: 'deny' }, { then: 'allow' }];
    expect(decideByRules(rules, subjectOf('fileChange', described.input, []))).toBe('deny');
    expect(described.summary).toBe('Change unknown files');
  });

  test('by server or tool matches a call whose name is unknown', () => {
    const call = subjectOf('elicitation', { _meta: { codex_approval_kind: 'mcp_tool_call' } }, []);
    for (const rule of [{ server: 's' }, { tool: 't' }]) {
      expect(decideByRules([{ ...rule, then: 'deny' }, { then: 'allow' }], call)).toBe('deny');
      expect(decideByRules([{ ...rule, then: 'allow' }], call)).toBeNull();
    }
  });

  test('by pattern sees what a nested shell runs, without its quotes', () => {
    const rules: PermissionRule[] = [{ pattern: '^git push', then: 'deny' }, ALLOW_COMMANDS];
    expect(decide(asCodex('bash -c "git \\"pu\\"sh"'), rules)).toBe('deny');
  });
});

describe('an allow rule', () => {
  const rules = [allows('npm', 'test'), allows('git', ['commit', 'status']), allows('tail'), allows('cd')];
  test.each([
    ['npm test', 'allow'],
    ['npm test 2>&1', 'allow'],
    ['npm test > /dev/null', 'allow'],
    ['npm test | tail -20', 'allow'],
    ['cd x && npm test', 'allow'],
    ['git commit -m "fix (parser); $5 & more"', null],
    ["git commit -m 'fix (parser); $5 & more'", 'allow'],
    ['git status; npm test', 'allow'],
    ['git push', null],
    ['npm test && git push', null],
    ['npm test | tee out', null],
    ['npm test > out.txt', null],
    ['CI=1 npm test', null],
    ['npm test $(git push)', null],
    ['npm test "$X"', null],
    ['npm test &', null],
    ['if true; then npm test; fi', null],
    ['{ npm test; }', null],
    ['npm() { git push; }; npm test', null],
    ['env npm test', null],
    ['/usr/bin/npm test', null],
    ['bash -c "npm test"', null],
    ['npm te"st', null],
  ])('for some commands decides %j as %s', (script, expected) => {
    expect(decide(asCodex(script), rules)).toBe(expected);
  });

  test('by pattern needs every command to match it', () => {
    const rule: PermissionRule = { pattern: '^npm (ci|test)$', then: 'allow' };
    expect(decide(asCodex('npm ci && npm test'), [rule])).toBe('allow');
    expect(decide(asCodex('npm ci && rm x'), [{ pattern: 'npm', then: 'allow' }])).toBeNull();
  });

  test('for one command does not lift the denial of another', () => {
    expect(decide(asCodex('npm test && git push'), [allows('npm'), denies('git'), ALLOW_COMMANDS])).toBe(
      'deny',
    );
    expect(decide(asCodex('npm test && git push'), [allows('npm'), { then: 'ask' }])).toBeNull();
  });
});

describe('terminal input', () => {
  const typed = (chars: string) => ({
    command: `write_stdin --session-id 7 '${chars}'`,
    kind: 'writeStdin',
  });
  const decideTyped = (chars: string, rules: PermissionRule[]) => {
    const { command, kind } = typed(chars);
    return decide(command, rules, { kind });
  };

  test('is a kind of its own, and its summary names the text and the command', () => {
    const described = describeRequest(COMMAND, { ...ITEM, ...typed('rm -rf x\n') }, undefined, {
      command: 'bash --norc',
    });
    expect(described).toMatchObject({
      kind: 'stdin',
      summary: 'Type "rm -rf x\\n" into the running bash --norc',
    });
  });

  test('is allowed by no rule for commands, prefixes or patterns', () => {
    expect(decideTyped('ls\n', [ALLOW_COMMANDS])).toBeNull();
    expect(decideTyped('ls\n', [allows('ls'), { pattern: 'ls', then: 'allow' }])).toBeNull();
    expect(decideTyped('ls\n', [{ kind: 'stdin', then: 'allow' }])).toBe('allow');
    expect(decideTyped('ls\n', [{ kind: 'command', then: 'deny' }])).toBeNull();
  });

  test.each(['rm -rf x\n', 'ls; rm x\n', 'nohup rm x\n', 'r', 'rm \\\n', '\u001b[A\n'])(
    'is denied as a script is: %j',
    (chars) => expect(decideTyped(chars, [denies('rm'), { kind: 'stdin', then: 'allow' }])).toBe('deny'),
  );

  test.each(['humanCommand', 'somethingNew', 7])('is allowed by no rule of the kind %j', (kind) => {
    expect(decide('ls', [ALLOW_COMMANDS, { then: 'allow' }], { kind })).toBeNull();
    expect(decide('ls', [denies('ls')], { kind })).toBe('deny');
  });
});

describe('access beyond the sandbox that a command asks for', () => {
  const more = {
    additionalPermissions: { network: { enabled: true }, fileSystem: { write: ['/home/x'] } },
    networkApprovalContext: { host: 'evil.example', protocol: 'https' },
  };
  const wide: PermissionRule = { network: ['*'], grants: [{ path: '/home', access: 'rw' }], then: 'allow' };

  test('is in the summary', () => {
    const { summary } = describeRequest(COMMAND, { ...ITEM, command: 'npm test', ...more })!;
    expect(summary).toContain('network to any host, network to evil.example, write /home/x');
    const plain = describeRequest(COMMAND, { ...ITEM, command: 'npm test' })!;
    expect(plain.summary).not.toMatch(/network|write \//);
  });

  test('is allowed only by a rule that names all of it', () => {
    expect(decide('npm test', [allows('npm', 'test'), ALLOW_COMMANDS, { then: 'allow' }], more)).toBeNull();
    expect(decide('npm test', [{ ...allows('npm'), ...wide }], more)).toBe('allow');
    expect(decide('npm test', [{ ...wide, grants: [{ path: '/home', access: 'ro' }] }], more)).toBeNull();
    expect(decide('npm test', [{ ...wide, network: ['registry.example'] }], more)).toBeNull();
    expect(decide('npm test', [{ ...allows('npm'), ...wide }])).toBe('allow');
    expect(decide('npm test', [wide])).toBeNull();
  });

  test('is found by a deny rule for it, even when it is not understood', () => {
    const deny: PermissionRule = { network: ['evil.example'], then: 'deny' };
    expect(decide('npm test', [deny, ALLOW_COMMANDS], more)).toBe('deny');
    expect(decide('npm test', [deny, ALLOW_COMMANDS])).toBe('allow');
    const odd = { additionalPermissions: { gpu: true } };
    expect(decide('npm test', [deny], odd)).toBe('deny');
    expect(decide('npm test', [{ ...allows('npm'), ...wide }], odd)).toBeNull();
    const path: PermissionRule = { path: '/home/x/secret', then: 'deny' };
    expect(decide('npm test', [path, { ...allows('npm'), ...wide }], more)).toBe('deny');
  });
});

describe('rules in Codex’s own notation', () => {
  const policy = parseExecpolicy(`
    # as in a file of codex's
    prefix_rule(pattern=["git"], decision="allow", justification="it's fine")
    prefix_rule(
      pattern=["git", ["push", "fetch"]],
      decision="prompt", match=["git push origin", ["git", "fetch"]],
    )
    prefix_rule(pattern=["git", "push", "--force"], decision='forbidden')
  `);
  const byPolicy = (script: string, rules: PermissionRule[] = []) =>
    decideByRules(rules, subjectOf('command', { command: asCodex(script) }, []), policy);

  test('are read, and the strictest match counts', () => {
    expect(byPolicy('git status')).toBe('allow');
    expect(byPolicy('git push origin')).toBeNull();
    expect(byPolicy('git push origin --force')).toBe('deny');
    expect(byPolicy('env git push -f')).toBe('deny');
    expect(byPolicy('ls')).toBeNull();
  });

  test('count next to approvals.rules, and the strictest of both wins', () => {
    expect(byPolicy('git push', [ALLOW_COMMANDS])).toBeNull();
    expect(byPolicy('git status', [denies('git', 'status')])).toBe('deny');
    expect(byPolicy('ls', [ALLOW_COMMANDS])).toBe('allow');
  });

  test.each([
    ['nonsense', /line 1: expected prefix_rule/],
    ['prefix_rule(pattern=[])', /line 1: expected a pattern/],
    ['\nprefix_rule(pattern=["a"], decision="maybe")', /line 2: expected decision/],
    ['prefix_rule(pattern=["a"', /line 1: expected ","/],
    ['prefix_rule(pattern=[7])', /line 1: cannot be read/],
    ['network_rule(host="x")', /line 1: expected prefix_rule/],
  ])('are bad input as %j', (execpolicy, message) => {
    expect(() => parseTaskInput({ approvals: { execpolicy } }, 't')).toThrow(/^approvals\.execpolicy: /);
    expect(() => parseTaskInput({ approvals: { execpolicy } }, 't')).toThrow(message);
  });
});

test('no rule allows what only a person can answer', () => {
  const form = (requestedSchema: object, more: object = {}) => ({ mode: 'form', requestedSchema, ...more });
  const answered = (kind: PermissionKind, input: Record<string, unknown>) =>
    decideByRules([{ then: 'allow' }], subjectOf(kind, input, []));
  expect(answered('userInput', { questions: [{ id: 'q', question: '?' }] })).toBeNull();
  expect(answered('elicitation', form({ required: ['approved'] }))).toBeNull();
  expect(answered('elicitation', { mode: 'url', url: 'https://x' })).toBeNull();
  expect(answered('elicitation', { mode: 'openai/userVerification' })).toBeNull();
  expect(answered('elicitation', form({ properties: {} }))).toBe('allow');
  const call = { _meta: { codex_approval_kind: 'mcp_tool_call', tool_name: 't' } };
  expect(answered('elicitation', form({ required: ['x'] }, call))).toBe('allow');
  expect(decideByRules([{ then: 'deny' }], subjectOf('elicitation', form({ required: ['x'] }), []))).toBe(
    'deny',
  );
});

test('patterns search for a bounded time, and the number of rules is bounded', () => {
  const rules = Array.from({ length: 100 }, (): PermissionRule => ({ pattern: '^(a+)+$', then: 'allow' }));
  const began = performance.now();
  expect(decide(`${'a'.repeat(40)}!`, rules)).toBeNull();
  // One after another they take at least 5 s.
  expect(performance.now() - began).toBeLessThan(4_500);
  const many = Array.from({ length: 201 }, () => ({ then: 'ask' as const }));
  expect(() => parseTaskInput({ approvals: { rules: many } }, 't')).toThrow(
    /approvals\.rules: expected at most 200/,
  );
});
