import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { stringify } from 'smol-toml';
import { beforeAll, expect, it } from 'vitest';
import { commandCall, assistantMessage, modelProvider, outputsOfTurn } from '../../src/dev/model-server.js';
import { packageRoot } from '../../src/dev/package-root.js';
import { insertSeed } from '../../src/store/seeds.js';
import { pythonPackage } from '../support/python-packages.js';
import { until } from '../support/until.js';
import { useRealStack } from './real-stack.js';
import { asksFor, AUTH } from './real-tasks.js';

// The examples of the documents as they stand, each on a namespace of its own with a pool `default`.
const stack = useRealStack();

let packages = '';

beforeAll(async () => {
  packages = await pythonPackage('temporalio', '1.35.0');
  const configToml = Buffer.from(stringify(modelProvider(stack.model.url)));
  await insertSeed(stack.store, { authJson: AUTH, configToml, pool: 'default' });
}, 400_000);

const ANSWERS = /\.permissions\(|\.decide\(|decidePermission/;

/** The example of a page in a language that answers requests. */
async function example(page: string, language: string): Promise<string> {
  const document = await readFile(join(packageRoot, page), 'utf8');
  const found = [...document.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, 'gm'))];
  const programs = found.map(([, program]) => program!).filter((each) => ANSWERS.test(each));
  expect(programs, language).toHaveLength(1);
  return programs[0]!;
}

function run(command: string, args: string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(command, args, { env: { ...process.env, ...stack.line.env, ...env } });
  const output = Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return output.then(([stdout, stderr, [code]]) => ({ stdout, stderr, code: code as number | null }));
}

const PAGE = 'docs/tasks.md';

it.each([
  ['Python', 'python', 'fix-42'],
  ['TypeScript', 'ts', 'fix-43'],
])(
  'the %s example answers all requests across a killed worker and prints the result',
  async (_, language, taskId) => {
    const [command, file, args] = {
      python: ['python3', 'example.py', ['-B']] as const,
      ts: [process.execPath, 'requests.mjs', []] as const,
    }[language as 'python' | 'ts'];
    const path = join(stack.folder, file);
    await writeFile(path, await example(PAGE, language));
    let isBack = false;
    stack.play(async (request) => {
      const asked = outputsOfTurn(request).length;
      // It asks and is asked while no worker is there.
      if (asked === 0) await until('another worker', () => isBack, 120_000);
      return asked < 2
        ? [commandCall(`echo request ${asked}`, { escalated: true, justification: 'the test asks' })]
        : [assistantMessage('both were allowed')];
    });
    const ran = run(command, [...args, path], { PYTHONPATH: packages });
    const stateOf = () =>
      stack.client
        .handle(taskId)
        .status()
        .catch(() => null);
    await until('its turn', async () => (await stateOf())?.state === 'running', 120_000);
    await stack.endWorker('SIGKILL');
    isBack = true;
    const asked: unknown = language === 'ts' ? expect.stringMatching(/^(.*echo request [01].*\n){2}$/) : '';
    expect(await ran).toEqual({ stdout: 'both were allowed\n', stderr: asked, code: 0 });
  },
  300_000,
);

it('the TypeScript example decides each request on the stream, and prints the result', async () => {
  const file = join(stack.folder, 'example.mjs');
  await writeFile(file, await example('README.md', 'ts'));
  stack.play(asksFor('echo of typescript', 'it was allowed'));
  const env = { CODEX_TASK_LISTENER_SECRET: await stack.listenerSecret() };
  const { stdout, stderr, code } = await run(process.execPath, [file], env);
  expect({ stdout, stderr, code }).toEqual({ stdout: 'it was allowed\n', stderr: '', code: 0 });
}, 300_000);
