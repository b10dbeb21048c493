import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../src/dev/free-port.js';
import { buildPackage } from '../support/built-package.js';
import { makeFolder } from '../support/folders.js';
import { runCli } from './run-cli.js';

let built: { path: string; remove: () => Promise<void> };
const run = (args: string[], options?: Parameters<typeof runCli>[2]) => runCli(built.path, args, options);

beforeAll(async () => {
  built = await makeFolder();
  await buildPackage(built.path);
});
afterAll(() => built.remove());

describe('the command line', () => {
  it('prints its help', async () => {
    const { code, stdout, stderr } = await run(['--help']);
    expect(code).toBe(0);
    expect(stderr).toBe('');
    for (const name of 'worker dev demo start show follow send interrupt approve deny close ls'.split(' '))
      expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
    expect(stdout).toContain('Exit codes: 0 ok, 1 ');
    expect((await run(['start', '--help'])).stdout).toContain('--prompt-file <file>');
    expect((await run(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it.each([
    [['start', '--promt', 'x'], /^codex-task: unknown option '--promt' \(Did you mean --prompt\?\)/],
    [['strat'], /^codex-task: unknown command 'strat' \(Did you mean start\?\)/],
    [['show'], /^codex-task: missing required argument 'task-id'/],
    [['follow', 't', '--from', 'x'], /^codex-task: option '--from <n>' argument 'x' is invalid/],
    [['start', 't1', 'go'], /^codex-task: expected -, got go/],
    [['start', 'operator'], /^codex-task: taskId: expected /],
    [['start', '--mode', 'chat'], /^codex-task: mode: expected "task" or "conversation", got "chat"/],
    [['start', '--input', '/nowhere.json'], /^codex-task: The input cannot be read: ENOENT/],
    [['start', '--pool', 'a', '--seed', 'b'], /^codex-task: Give one of --pool/],
    [['approve', 't', 'r', '--answer', '{'], /^codex-task: --answer: expected a JSON object/],
  ])('refuses %j with exit code 2 and one line', async (args, line) => {
    const { code, stdout, stderr } = await run(args);
    expect(stderr).toMatch(line);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).not.toContain('\x1b');
  });

  it('writes no colour to a pipe, whatever the environment asks for', async () => {
    const { stderr } = await run(['strat'], { env: { FORCE_COLOR: '1', CI: 'true' } });
    expect(stderr).toBe("codex-task: unknown command 'strat' (Did you mean start?); see codex-task --help\n");
  });

  it('prints its help without arguments', async () => {
    const { code, stdout, stderr } = await run([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^Usage: codex-task/);
  });

  it('writes errors as JSON to stdout with --json', async () => {
    for (const args of [
      ['start', '--mode', 'chat', '--json'],
      ['show', '--json'],
      ['start', '--json', '--nope'],
    ]) {
      const { code, stdout, stderr } = await run(args);
      expect({ code, stderr }).toEqual({ code: 2, stderr: '' });
      expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'BadInput' } });
    }
  });

  it('names every wrong field of an input file and of stdin', async () => {
    const file = join(built.path, 'input.json');
    await writeFile(file, '{"limits":{"turnMs":0},"extra":1}');
    for (const options of [
      ['--input', file],
      ['--input', '-'],
    ]) {
      const { code, stderr } = await run(['start', ...options], {
        stdin: '{"limits":{"turnMs":0},"extra":1}',
      });
      expect(code).toBe(2);
      expect(stderr).toMatch(
        /^codex-task: limits\.turnMs: expected a positive integer.*, got 0\nextra: unknown key\n$/,
      );
    }
  });

  it.each([
    ['start', '-'],
    ['start', 't1', '-'],
    ['start', '--prompt', '-'],
    ['start', '--prompt-file', '-'],
  ])('reads the first message from stdin: %s %s %s', async (...args) => {
    const { code, stderr } = await run(args, { stdin: 'x'.repeat(1_048_577) });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^codex-task: prompt: expected 1 to 1048576 characters, got "xxx/);
  });

  it('names each wrong setting', async () => {
    const { code, stderr } = await run(['worker'], { env: { CODEX_TASK_LISTEN: 'nowhere' } });
    expect(code).toBe(2);
    expect(stderr).toMatch(/CODEX_TASK_LISTEN: expected host:port, got "nowhere"/);
  });

  it('names the server that is out of reach and what to do, with exit code 4', async () => {
    const TEMPORAL_ADDRESS = `127.0.0.1:${await freePort()}`;
    const [plain, json] = await Promise.all([
      run(['ls'], { env: { TEMPORAL_ADDRESS } }),
      run(['ls', '--json'], { env: { TEMPORAL_ADDRESS } }),
    ]);
    const message = `Temporal not reachable at ${TEMPORAL_ADDRESS}: start it or set TEMPORAL_ADDRESS (codex-task dev starts one)`;
    expect(plain).toEqual({ code: 4, stdout: '', stderr: `codex-task: ${message}\n` });
    expect(json.code).toBe(4);
    expect(JSON.parse(json.stdout)).toEqual({ error: { code: 'Unavailable', message } });
  });
});
