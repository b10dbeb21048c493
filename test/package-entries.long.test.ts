import { execFile } from 'node:child_process';
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../src/dev/package-root.js';
import { timeSkippingServer } from '../src/dev/temporal/time-skipping.js';
import { stackOptions } from './support/shared-servers.js';
import { makeFolder } from './support/folders.js';

const run = promisify(execFile);
const read = (path: string) => readFile(join(packageRoot, path), 'utf8');
const modules = join(packageRoot, 'node_modules');

interface Entry {
  name: string;
  node: boolean;
  commonJs: boolean;
  inWorkflows: boolean;
}

let tarball: string;
/** A caller's project that has the package from its tarball, and what npm would install with it. */
let project: string;
let entries: Entry[];

beforeAll(async () => {
  const { path, remove } = await makeFolder();
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', path], {
    cwd: packageRoot,
    maxBuffer: 1 << 24,
  });
  const [{ filename } = { filename: '' }] = JSON.parse(stdout) as { filename: string }[];
  tarball = join(path, filename);
  project = join(path, 'project');
  await Promise.all([makeProject(), readEntries()]);
  return remove;
});

async function makeProject(): Promise<void> {
  const own = join(project, 'node_modules', 'codex-task-worker');
  await mkdir(own, { recursive: true });
  await run('tar', ['xzf', tarball, '-C', own, '--strip-components=1']);
  const { packages } = JSON.parse(await read('package-lock.json')) as {
    packages: Record<string, { dev?: boolean }>;
  };
  const theirs = Object.entries(packages).flatMap(([path, { dev }]) =>
    /^node_modules\/(@[^/]+\/)?[^/]+$/.test(path) && !dev ? path.slice('node_modules/'.length) : [],
  );
  for (const name of new Set([...theirs, '@types/node', 'undici-types'])) {
    const link = join(project, 'node_modules', name);
    await mkdir(dirname(link), { recursive: true });
    // What is for another platform is not installed, and its link leads nowhere.
    await symlink(join(modules, name), link);
  }
  await writeFile(join(project, 'package.json'), '{"private":true,"type":"module"}');
}

/** The table of docs/package.md. */
async function readEntries(): Promise<void> {
  const rows = (await read('docs/package.md')).matchAll(/^\| `(codex-task-worker[\w/]*)` +\|(.*)\|$/gm);
  entries = [...rows].map(([, name = '', rest = '']) => {
    const [, node, commonJs, inWorkflows] = rest.split('|').map((cell) => cell.trim());
    return { name, node: node === 'yes', commonJs: commonJs === 'yes', inWorkflows: inWorkflows === 'yes' };
  });
}

const put = (name: string, text: string) => writeFile(join(project, name), text);
const node = (name: string, env: NodeJS.ProcessEnv = {}) =>
  run(process.execPath, [name], { cwd: project, env: { PATH: process.env['PATH'], HOME: project, ...env } });

describe('the packed package', () => {
  it('has the entries that docs/package.md names, and no other', async () => {
    const { exports } = JSON.parse(await read('package.json')) as { exports: Record<string, unknown> };
    const names = Object.keys(exports).filter((path) => path !== './package.json');
    expect(entries.map(({ name }) => name).sort()).toEqual(
      names.map((path) => path.replace(/^\./, 'codex-task-worker')).sort(),
    );
  });

  it('is found right by publint and by attw', async () => {
    const found = await run(process.execPath, [join(modules, 'publint/src/cli.js'), tarball, '--strict']);
    expect(found.stdout).toContain('All good!');
    // Left out: node10, which reads no exports, and require() by the types of Node 16, which loads no ES module.
    const attw = join(modules, '@arethetypeswrong/cli/dist/index.js');
    const { stdout } = await run(process.execPath, [attw, tarball, '--profile', 'esm-only', '--no-color']);
    for (const { name } of entries) expect(stdout).toContain(`"${name}"`);
  });

  it('compiles in a strict project; where libraries are checked only Temporal’s own types fail', async () => {
    const imports = entries.map(
      ({ name }, index) => `import * as e${index} from '${name}';\nvoid e${index};\n`,
    );
    await put('every-entry.ts', imports.join(''));
    const examples = join(packageRoot, 'test/examples');
    for (const name of await readdir(examples)) await cp(join(examples, name), join(project, name));
    const compilerOptions = {
      ...{ module: 'nodenext', target: 'es2023', types: ['node'], noEmit: true, verbatimModuleSyntax: true },
      ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
      skipLibCheck: false,
    };
    await put('tsconfig.json', JSON.stringify({ compilerOptions, include: ['*.ts'] }));
    const tsc = join(modules, 'typescript/bin/tsc');
    const { stdout } = await run(process.execPath, [tsc, '-p', '.', '--pretty', 'false'], {
      cwd: project,
    }).catch((error: { stdout: string }) => error);
    const failed = [...stdout.matchAll(/^(\S[^(]*)\(\d+,\d+\): error/gm)].map(([, path = '']) => path);
    expect([...new Set(failed.map((path) => path.replace(/^.*node_modules\//, '')))].sort()).toEqual([
      '@temporalio/client/lib/schedule-client.d.ts',
      '@temporalio/common/lib/time.d.ts',
    ]);
  });

  it('is loaded by import and by require() where docs/package.md says so, and starts nothing then', async () => {
    const load = (each: (name: string) => string, by: keyof Entry) =>
      entries.filter((entry) => entry[by]).map(({ name }) => each(name));
    const required = load((name) => `require('${name}');`, 'commonJs');
    const imported = load((name) => `await import('${name}');`, 'node');
    expect([required.length, imported.length]).toEqual([6, 6]);
    await put('required.cjs', `${required.join('\n')}\nconsole.log('over');`);
    await put('imported.mjs', `${imported.join('\n')}\nconsole.log('over');`);
    // A process that has something running does not end.
    for (const name of ['required.cjs', 'imported.mjs']) expect((await node(name)).stdout).toBe('over\n');
  });

  it('replays a history with a bundle of the entries for workflow code', async () => {
    const names = entries.filter(({ inWorkflows }) => inWorkflows).map(({ name }) => name);
    expect(names).toHaveLength(3);
    await put('workflows.js', names.map((name) => `export * from '${name}';\n`).join(''));
    await cp(join(packageRoot, 'test/histories/child-task.json'), join(project, 'history.json'));
    await put(
      'replay.js',
      `import { readFile } from 'node:fs/promises';
      import { bundleWorkflowCode, Worker } from '@temporalio/worker';
      import { codexTaskPlugin } from 'codex-task-worker/worker';
      const workflowsPath = new URL('workflows.js', import.meta.url).pathname;
      const history = JSON.parse(await readFile('history.json', 'utf8'));
      for (const plugins of [[], [codexTaskPlugin()]]) {
        const workflowBundle = await bundleWorkflowCode({ workflowsPath, plugins });
        await Worker.runReplayHistory({ workflowBundle, plugins }, history, 'replayed');
        console.log('replayed');
      }`,
    );
    const { stdout } = await node('replay.js');
    expect(stdout.match(/^replayed$/gm)).toHaveLength(2);
  });

  it('tests a caller’s program with the testing kit', async () => {
    const [[, program = ''] = []] = (await read('docs/testing.md')).matchAll(/^```ts\n([\s\S]*?)^```$/gm);
    await put('testing.mjs', program);
    const server = await timeSkippingServer(stackOptions('', new AbortController().signal));
    const { stdout } = await node('testing.mjs', { TEMPORAL_TEST_SERVER: server });
    expect(stdout.trimEnd().split('\n').at(-1)).toBe('approved, parked for five hours, merged');
  });
});
