import { describe, expect, it } from 'vitest';
import { TaskError } from '../../src/errors.js';
import { refuseBadPatterns } from '../../src/input/patterns.js';
import {
  MAX_TEXT_CHARACTERS,
  parseControl,
  parseDecision,
  parseMessage,
  parseTaskInput,
} from '../../src/input/parse-task-input.js';

const failure = (run: () => unknown): TaskError => {
  try {
    run();
  } catch (error) {
    if (error instanceof TaskError) return error;
    throw error;
  }
  throw new Error('expected a failure');
};
const faultsOf = (input: unknown, taskId = 't1'): string[] => {
  const { code, message } = failure(() => parseTaskInput(input, taskId));
  expect(code).toBe('BadInput');
  return message.split('\n');
};

describe('parseTaskInput, valid input', () => {
  it('treats a field that is present and undefined as absent', () => {
    const given = { prompt: undefined, limits: { turnMs: undefined }, snapshot: { key: undefined } };
    expect(parseTaskInput(given, 't1')).toEqual(parseTaskInput({}, 't1'));
  });

  it.each([[{}], [undefined], [null]])('fills every default of %j', (input) => {
    expect(parseTaskInput(input, 't1')).toEqual({
      taskId: 't1',
      prompt: null,
      mode: 'task',
      model: null,
      effort: null,
      instructions: null,
      sandbox: { mode: 'workspace-write', network: false, grants: [], git: 'read-only' },
      approvals: { policy: 'on-request', timeoutMs: null, onTimeout: 'deny', rules: [] },
      credential: { pool: 'default' },
      resume: null,
      snapshot: { key: 't1', keep: 5, checkpoint: 'end', exclude: null },
      captureSeed: null,
      files: [],
      codexConfig: {},
      env: {},
      passEnv: [],
      hostProtocol: false,
      hooks: {},
      ui: null,
      limits: {
        turnMs: 3_600_000,
        idleMs: 3_600_000,
        totalMs: null,
        uploadBytes: 10_000_000,
        downloadBytes: 10_000_000,
        outputRetries: 1,
      },
    });
  });

  it('takes null as absent, at every level, as dataclasses and structs send it', () => {
    const nulls = (...names: string[]) => Object.fromEntries(names.map((name) => [name, null]));
    const given = {
      ...nulls(
        'prompt',
        'model',
        'effort',
        'instructions',
        'resume',
        'files',
        'env',
        'passEnv',
        'ui',
        'limits',
      ),
      sandbox: nulls('mode', 'network', 'grants'),
      approvals: { ...nulls('policy', 'timeoutMs', 'onTimeout'), rules: [{ then: 'ask', kind: null }] },
      credential: { pool: 'default', ...nulls('seedId', 'apiKeyEnv', 'none', 'waitMs', 'hostOwnedTokens') },
      snapshot: nulls('key', 'keep', 'checkpoint', 'exclude'),
      captureSeed: { pool: null, metadata: { kept: null } },
      codexConfig: { a: null, b: { c: null, d: 1 } },
      hooks: { beforeExecute: null, onUpload: { taskQueue: 'q', activityType: 'a', timeoutMs: null } },
    };
    const plain = {
      approvals: { rules: [{ then: 'ask' }] },
      captureSeed: { metadata: { kept: null } },
      codexConfig: { b: { d: 1 } },
      hooks: { onUpload: { taskQueue: 'q', activityType: 'a' } },
    };
    expect(parseTaskInput(given, 't1')).toEqual(parseTaskInput(plain, 't1'));
    expect(parseTaskInput({ ui: { a: null, b: [{ c: null }] } }, 't1').ui).toEqual({
      a: null,
      b: [{ c: null }],
    });
  });

  it('keeps everything that was given', () => {
    const input = {
      prompt: 'go',
      mode: 'conversation',
      model: 'gpt-5.5',
      effort: 'high',
      instructions: 'be kind',
      sandbox: {
        mode: 'workspace-write',
        network: true,
        grants: [
          { path: '~', access: 'ro' },
          { path: '~/x', access: 'rw' },
          { path: '/srv', access: 'rw' },
        ],
        git: 'writable',
      },
      approvals: {
        policy: 'never',
        timeoutMs: 1,
        onTimeout: 'allow',
        rules: [
          { then: 'ask' },
          { kind: 'command', commandPrefix: ['git', 'log'], pattern: '^git', then: 'allow' },
          { kind: 'elicitation', server: 's', tool: 't', path: '/p', then: 'deny' },
        ],
      },
      credential: { seedId: 'abc', waitMs: 0, hostOwnedTokens: true },
      resume: { snapshotId: 'not even hexadecimal' },
      snapshot: { key: 'k', keep: 1, checkpoint: 'turn', exclude: [] },
      captureSeed: { pool: 'p', metadata: { a: { b: [1, null] } } },
      files: [{ path: 'a/b.txt', blobId: '0123456789abcdef01234567' }],
      codexConfig: { model_providers: { x: { base_url: 'http://x' } }, list: [1, 'a', { b: true }] },
      env: { A_1: 'x', _b: '' },
      passEnv: ['OPENAI_API_KEY'],
      hostProtocol: true,
      hooks: { onPermissionRequest: { taskQueue: 'q', activityType: 'judge' } },
      ui: { anything: [null, { goes: 1 }] },
      limits: { turnMs: 1, idleMs: 2, totalMs: 3, uploadBytes: 4, downloadBytes: 5, outputRetries: 0 },
      outputSchema: { type: 'object', properties: {}, required: [], additionalProperties: false },
    };
    expect(parseTaskInput(input, 't1')).toEqual({ taskId: 't1', ...input });
  });

  it.each([[{ pool: 'p' }], [{ apiKeyEnv: 'OPENAI_API_KEY' }], [{ none: true }]])(
    'takes the credential %j',
    (credential) => expect(parseTaskInput({ credential }, 't1').credential).toEqual(credential),
  );

  it('treats an undefined member as absent', () => {
    expect(parseTaskInput({ model: undefined, limits: { turnMs: undefined } }, 't1').limits.turnMs).toBe(
      3_600_000,
    );
  });

  it('replaces lone surrogates wherever they are', () => {
    const spec = parseTaskInput(
      { prompt: 'a\ud800b\u{1f600}', codexConfig: { 'k\udc00': ['\udfff'] } },
      't1',
    );
    expect(spec.prompt).toBe('a\ufffdb\u{1f600}');
    expect(spec.codexConfig).toEqual({ 'k\ufffd': ['\ufffd'] });
  });

  it('counts characters, not code units', () => {
    const prompt = '\u{1f600}'.repeat(MAX_TEXT_CHARACTERS);
    expect(parseTaskInput({ prompt }, 't1').prompt).toBe(prompt);
    expect(faultsOf({ prompt: `${prompt}a` })[0]).toMatch(/^prompt: expected 1 to 1048576 characters, got "/);
  });
});

describe('a pattern of a rule', () => {
  const rules = [{ then: 'deny' as const }, { pattern: '(', then: 'ask' as const }];

  it('is not examined in workflow code, since engines differ', () => {
    expect(parseTaskInput({ approvals: { rules } }, 't1').approvals.rules).toEqual(rules);
    expect(
      parseTaskInput({ approvals: { rules: [{ pattern: '(?i:rm)', then: 'deny' }] } }, 't1'),
    ).toBeDefined();
  });

  it('is refused by clients and hosts when it is no regular expression', () => {
    expect(failure(() => refuseBadPatterns({ approvals: { rules } }))).toMatchObject({
      code: 'BadInput',
      message: 'approvals.rules[1].pattern: expected a regular expression, got "("',
    });
    expect(() =>
      refuseBadPatterns({ approvals: { rules: [{ pattern: '^git', then: 'allow' }] } }),
    ).not.toThrow();
  });
});

describe('parseTaskInput, faults', () => {
  const cases: [string, unknown, string | RegExp][] = [
    ['an unknown key', { promt: 'x' }, 'promt: unknown key'],
    [
      'an unknown nested key',
      { sandbox: { grants: [{ path: '/', access: 'ro', x: 1 }] } },
      'sandbox.grants[0].x: unknown key',
    ],
    ['an inherited name', { constructor: 1 }, 'constructor: unknown key'],
    ['__proto__', JSON.parse('{"ui":{"__proto__":{}}}'), 'ui.__proto__: unknown key'],
    ['a list as input', [], 'input: expected an object, got []'],
    ['a text as input', 'go', 'input: expected an object, got "go"'],
    ['an empty prompt', { prompt: '' }, 'prompt: expected 1 to 1048576 characters, got ""'],
    ['a wrong mode', { mode: 'chat' }, 'mode: expected "task" or "conversation", got "chat"'],
    [
      'a wrong access',
      { sandbox: { grants: [{ path: '/a', access: 'rwx' }] } },
      'sandbox.grants[0].access: expected "ro" or "rw", got "rwx"',
    ],
    [
      'a missing key',
      { sandbox: { grants: [{ path: '/a' }] } },
      'sandbox.grants[0].access: expected "ro" or "rw", got nothing',
    ],
    [
      'a relative grant',
      { sandbox: { grants: [{ path: 'a', access: 'ro' }] } },
      /^sandbox\.grants\[0\]\.path: expected an absolute path, ~ or ~\/…/,
    ],
    [
      'a grant that climbs',
      { sandbox: { grants: [{ path: '/a/../b', access: 'ro' }] } },
      /^sandbox\.grants\[0\]\.path/,
    ],
    [
      "another user's home",
      { sandbox: { grants: [{ path: '~bob', access: 'ro' }] } },
      /^sandbox\.grants\[0\]\.path/,
    ],
    [
      'network under read-only',
      { sandbox: { mode: 'read-only', network: true } },
      'sandbox.network: expected false under "read-only", got true',
    ],
    [
      'rw under read-only',
      { sandbox: { mode: 'read-only', grants: [{ path: '/a', access: 'rw' }] } },
      'sandbox.grants[0].access: expected "ro" under "read-only", got "rw"',
    ],
    [
      'the log of the agent under read-only',
      { sandbox: { mode: 'read-only' }, hostProtocol: true },
      'hostProtocol: expected false under sandbox.mode "read-only", got true',
    ],
    [
      'a hook without its activity',
      { hooks: { beforeExecute: { taskQueue: 'q' } } },
      'hooks.beforeExecute.activityType: expected 1 to 256 characters, got nothing',
    ],
    [
      'a hook that is not there',
      { hooks: { onMoon: { taskQueue: 'q', activityType: 'a' } } },
      'hooks.onMoon: unknown key',
    ],
    [
      'an empty command prefix',
      { approvals: { rules: [{ commandPrefix: [], then: 'allow' }] } },
      /^approvals\.rules\[0\]\.commandPrefix: expected a non-empty array/,
    ],
    ['a rule without then', { approvals: { rules: [{}] } }, /^approvals\.rules\[0\]\.then: .*got nothing$/],
    [
      'no credential',
      { credential: {} },
      /^credential: expected an object with exactly one of pool, seedId, apiKeyEnv, none/,
    ],
    [
      'two credentials',
      { credential: { pool: 'a', seedId: 'b' } },
      /^credential: expected an object with exactly one of/,
    ],
    [
      'a credential with a stray key',
      { credential: { none: true, waitMs: 1 } },
      'credential.waitMs: unknown key',
    ],
    ['none: false', { credential: { none: false } }, 'credential.none: expected true, got false'],
    [
      'a secret of the worker',
      { credential: { apiKeyEnv: 'MONGODB_URI' } },
      /^credential\.apiKeyEnv: expected a variable name/,
    ],
    [
      'two resumes',
      { resume: { snapshotKey: 'a', snapshotId: 'b' } },
      /^resume: expected an object with exactly one of snapshotKey, snapshotId/,
    ],
    [
      'an absolute file',
      { files: [{ path: '/a', blobId: 'a'.repeat(24) }] },
      /^files\[0\]\.path: expected a relative path/,
    ],
    [
      'a file that climbs',
      { files: [{ path: 'a/../b', blobId: 'a'.repeat(24) }] },
      /^files\[0\]\.path: expected a relative path/,
    ],
    [
      'a wrong blob id',
      { files: [{ path: 'a', blobId: 'xyz' }] },
      'files[0].blobId: expected 24 hexadecimal digits, got "xyz"',
    ],
    [
      'the same file twice',
      {
        files: [
          { path: 'a', blobId: 'a'.repeat(24) },
          { path: 'a', blobId: 'b'.repeat(24) },
        ],
      },
      'files[1].path: expected each path only once, got "a"',
    ],
    [
      'null in codexConfig',
      { codexConfig: { a: { b: [1, null] } } },
      'codexConfig.a.b[1]: expected a value that TOML can hold, got null',
    ],
    [
      'a number too large for TOML',
      { codexConfig: { a: 1e20 } },
      'codexConfig.a: expected a value that TOML can hold, got 100000000000000000000',
    ],
    ['NaN', { codexConfig: { a: Number.NaN } }, 'codexConfig.a: expected a JSON value, got NaN'],
    ['a function', { ui: { f: () => 1 } }, 'ui.f: expected a JSON value, got a function'],
    [
      'a bigint',
      { limits: { turnMs: 1n } },
      'limits.turnMs: expected a JSON value, got a bigint that JSON cannot hold',
    ],
    ['a wrong env name', { env: { 'A-B': 'x' } }, 'env.A-B: expected a variable name (letters, digits, _)'],
    ['HOME', { env: { HOME: '/x' } }, 'env.HOME: expected another name: the worker sets this one'],
    ['XDG_CONFIG_HOME', { env: { XDG_CONFIG_HOME: '/x' } }, /^env\.XDG_CONFIG_HOME: expected another name/],
    [
      'where codex refreshes its tokens',
      { env: { codex_refresh_token_url_override: 'http://a.example' } },
      /^env\.codex_refresh_token_url_override: expected another name: its host makes settings of codex/,
    ],
    ['MONGODB_URI', { env: { MONGODB_URI: 'x' } }, /^env\.MONGODB_URI: expected another name/],
    [
      'a setting of Temporal passed on',
      { passEnv: ['TEMPORAL_GRPC_META_AUTHORIZATION'] },
      /^passEnv\[0\]: expected a variable name .* other than .* the worker's own settings/,
    ],
    [
      'a setting of the worker as the key',
      { credential: { apiKeyEnv: 'CODEX_TASK_X' } },
      /^credential\.apiKeyEnv/,
    ],
    ['CODEX_HOME passed on', { passEnv: ['CODEX_HOME'] }, /^passEnv\[0\]: expected a variable name/],
    ['NUL in env', { env: { A: 'a\0b' } }, 'env.A: expected a string value without NUL'],
    ['a number in env', { env: { A: 1 } }, 'env.A: expected a string value without NUL'],
    ['an unknown hook', { hooks: { onWhatever: {} } }, 'hooks.onWhatever: unknown key'],
    [
      'half a hook',
      { hooks: { onUpload: { taskQueue: '' } } },
      /^hooks\.onUpload\.taskQueue: expected 1 to 256 characters, got ""/,
    ],
    [
      'a dotted metadata name',
      { captureSeed: { metadata: { 'a.b': 1 } } },
      /^captureSeed\.metadata\."a\.b": expected a name/,
    ],
    ['keep 0', { snapshot: { keep: 0 } }, 'snapshot.keep: expected a positive integer, got 0'],
    [
      'a fraction',
      { limits: { turnMs: 1.5 } },
      /^limits\.turnMs: expected a positive integer up to 315360000000, got 1\.5/,
    ],
    ['more than ten years', { limits: { idleMs: 315_360_000_001 } }, /^limits\.idleMs/],
    ['a number as text', { limits: { totalMs: '1' } }, /^limits\.totalMs: .*, got "1"$/],
  ];
  it.each(cases)('names %s', (_what, input, expected) => {
    const [line] = faultsOf(input);
    if (typeof expected === 'string') expect(line).toBe(expected);
    else expect(line).toMatch(expected);
  });

  const hook = { taskQueue: 'q', activityType: 'a' };
  it.each<[Record<string, unknown>, string]>([
    [{ prompt: 1 }, 'prompt'],
    [{ model: '' }, 'model'],
    [{ effort: 5 }, 'effort'],
    [{ instructions: ['a'] }, 'instructions'],
    [{ sandbox: { mode: 'none' } }, 'sandbox.mode'],
    [{ sandbox: { network: 'yes' } }, 'sandbox.network'],
    // Codex has it no more: an escalation after a failure is what `on-request` asks for.
    [{ approvals: { policy: 'on-failure' } }, 'approvals.policy'],
    [{ approvals: { timeoutMs: 0 } }, 'approvals.timeoutMs'],
    [{ approvals: { onTimeout: 'ask' } }, 'approvals.onTimeout'],
    [{ approvals: { rules: [{ kind: 'exec', then: 'ask' }] } }, 'approvals.rules[0].kind'],
    [{ approvals: { rules: [{ then: 'accept' }] } }, 'approvals.rules[0].then'],
    [{ credential: { pool: '' } }, 'credential.pool'],
    [{ credential: { pool: 'p', waitMs: -1 } }, 'credential.waitMs'],
    [{ credential: { seedId: 's', hostOwnedTokens: 1 } }, 'credential.hostOwnedTokens'],
    [{ resume: { snapshotKey: '' } }, 'resume.snapshotKey'],
    [{ snapshot: { key: '' } }, 'snapshot.key'],
    [{ snapshot: { checkpoint: 'always' } }, 'snapshot.checkpoint'],
    [{ snapshot: { exclude: 'a' } }, 'snapshot.exclude'],
    [{ snapshot: { exclude: ['a', ''] } }, 'snapshot.exclude[1]'],
    [{ captureSeed: { pool: '' } }, 'captureSeed.pool'],
    [{ passEnv: 'A' }, 'passEnv'],
    [{ passEnv: ['CODEX_TASK_SEED_KEY'] }, 'passEnv[0]'],
    [{ hostProtocol: 'yes' }, 'hostProtocol'],
    [{ hooks: { onUpload: { ...hook, timeoutMs: 0 } } }, 'hooks.onUpload.timeoutMs'],
    [{ hooks: { onUpload: { ...hook, heartbeatMs: 0.5 } } }, 'hooks.onUpload.heartbeatMs'],
    [{ hooks: { onUpload: { ...hook, retries: 1 } } }, 'hooks.onUpload.retries'],
    [{ ui: [] }, 'ui'],
    [{ limits: { uploadBytes: 0 } }, 'limits.uploadBytes'],
    [{ limits: { downloadBytes: '1' } }, 'limits.downloadBytes'],
  ])('refuses %j by its place', (input, path) => {
    const lines = faultsOf(input);
    expect(lines).toHaveLength(1);
    expect(lines[0]?.startsWith(`${path}: `), lines[0]).toBe(true);
  });

  it.each([
    [{ sandbox: 7 }, 'sandbox'],
    [{ sandbox: [] }, 'sandbox'],
    [{ files: {} }, 'files'],
    [{ files: 7 }, 'files'],
    [{ codexConfig: 7 }, 'codexConfig'],
    [{ env: [] }, 'env'],
    [{ captureSeed: { metadata: 7 } }, 'captureSeed.metadata'],
    [{ sandbox: { mode: 'read-only', grants: [null] } }, 'sandbox.grants[0]'],
    [{ hooks: { onUpload: 'x' } }, 'hooks.onUpload'],
  ])('reports the wrong type in %j once', (input, path) => {
    const lines = faultsOf(input);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(new RegExp(`^${path.replace(/[.[\]]/g, '\\$&')}: expected an? `));
  });

  it('names all faults at once', () => {
    const lines = faultsOf(
      { mode: 1, a: 1, b: 2, limits: { turnMs: 0, idleMs: -1 }, credential: 5 },
      'operator',
    );
    expect(lines.map((line) => line.split(':')[0])).toEqual([
      'taskId',
      'mode',
      'credential',
      'limits.turnMs',
      'limits.idleMs',
      'a',
      'b',
    ]);
  });

  it('never repeats what may be a secret', () => {
    const secret = 'sk-very-secret';
    const { message } = failure(() =>
      parseTaskInput(
        {
          env: { A: [secret], B: `${secret}\0` },
          passEnv: [`KEY=${secret}`],
          credential: { apiKeyEnv: secret },
          codexConfig: secret,
          captureSeed: { pool: [secret] },
        },
        't1',
      ),
    );
    expect(message).not.toContain(secret);
    expect(message.split('\n')).toHaveLength(6);
    expect(failure(() => parseTaskInput({ credential: secret }, 't1')).message).toMatch(
      /got a string of 14 characters$/,
    );
  });

  it('shortens long values', () => {
    expect(faultsOf({ mode: 'x'.repeat(500) })[0]?.length).toBeLessThan(200);
  });

  it('refuses deep and circular values', () => {
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    expect(faultsOf({ ui: circle })[0]).toMatch(/expected at most 64 levels/);
  });

  it.each(['', 'a\nb', 'operator', 'a'.repeat(1_001)])('refuses the task id %j', (id) => {
    expect(faultsOf({}, id)[0]).toMatch(/^taskId: expected text of 1 to 1000 bytes/);
  });
});

describe('payloads', () => {
  it('parses a decision', () => {
    const decision = {
      requestId: 'r1',
      behavior: 'allow',
      scope: 'session',
      updatedInput: { a: 1 },
      message: 'ok',
      decidedBy: 'me',
    };
    expect(parseDecision(decision)).toEqual(decision);
    expect(parseDecision({ requestId: 'r', behavior: 'deny', scope: undefined })).toEqual({
      requestId: 'r',
      behavior: 'deny',
    });
  });

  it.each([
    [null, 'decision: expected an object, got null'],
    [{ requestId: 1, behavior: 'allow' }, 'requestId: expected 1 to 256 characters, got 1'],
    [{ requestId: 'r', behavior: 'maybe' }, 'behavior: expected "allow" or "deny", got "maybe"'],
    [{ requestId: 'r', behavior: 'deny', x: 1 }, 'x: unknown key'],
  ])('refuses the decision %j', (value, message) => {
    expect(failure(() => parseDecision(value)).message).toBe(message);
  });

  it('refuses a decision that is too large for Temporal', () => {
    const decision = { requestId: 'r', behavior: 'deny', message: 'a'.repeat(65_536) };
    expect(failure(() => parseDecision(decision)).message).toMatch(
      /^decision: expected at most 65536 bytes, got 655\d\d$/,
    );
  });

  it('parses a message', () => {
    const message = { messageId: 'm', text: 'hi', steer: true, images: [{ path: 'uploads/a.png' }] };
    expect(parseMessage(message)).toEqual(message);
    expect(parseMessage({ messageId: 'm', text: '\ud800' }).text).toBe('\ufffd');
  });

  it.each([
    [{ text: 'a' }, 'messageId: expected 1 to 256 characters, got nothing'],
    [{ messageId: 'm', text: '' }, 'text: expected 1 to 1048576 characters, got ""'],
    [
      { messageId: 'm', text: 'a', images: [{ path: '../x' }] },
      'images[0].path: expected a relative path without empty, . or .. parts, got "../x"',
    ],
  ])('refuses the message %j', (value, message) => {
    expect(failure(() => parseMessage(value)).message).toBe(message);
  });

  it('parses a control change and checks only its id', () => {
    expect(parseControl({ id: 'model', value: [null] })).toEqual({ id: 'model', value: [null] });
    expect(failure(() => parseControl({ id: '', value: 1 })).message).toBe(
      'id: expected 1 to 256 characters, got ""',
    );
  });
});
