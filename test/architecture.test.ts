import { builtinModules } from 'node:module';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { CODEX_VERSION } from '../src/codex/binary.js';
import { packageRoot } from '../src/dev/package-root.js';
import { inspectSource, readSources, type SourceFile } from './support/source-imports.js';

/**
 * Which part may import which, from the ground up; ARCHITECTURE.md says why. A part is a folder of `src`, a room of
 * `session` or a file beside them. A name after `type` may be imported for its types only.
 */
const ARROWS: Record<string, string> = {
  async: '',
  errors: '',
  contract: 'type errors',
  budgets: 'type contract',
  formats: 'errors',
  process: 'async, errors, formats',
  codec: 'errors',
  input: 'errors, type contract, budgets, codec',
  codex: 'async, errors, type contract, process, input',
  store: 'async, errors, formats, codec',
  config: 'errors, contract, process, codec, input, type store',
  log: 'type config',
  journal: 'async, errors, type contract, formats, store, type log',
  proxies: '',
  'task-folder': 'async, type contract, formats, process, type log',
  'session/recall': 'errors, contract, formats, codex, type log, type journal, task-folder',
  workdir: 'errors, type contract, store',
  'session/conversation':
    'async, errors, contract, budgets, input, codex, type log, journal, proxies, task-folder, session/recall, workdir',
  'session/model':
    'async, errors, type contract, type input, type codex, type store, type config, type log, type journal, task-folder, type session/recall, type session/conversation',
  'session/account':
    'async, errors, type contract, process, codex, store, type log, journal, task-folder, session/conversation, type session/model',
  version: '',
  credentials:
    'async, errors, type contract, formats, process, codex, store, type log, task-folder, type session/model, session/account, version',
  snapshots:
    'async, errors, type contract, formats, process, codex, store, type config, type log, task-folder, workdir',
  'session/agent-channel':
    'async, errors, type contract, budgets, process, codex, store, type config, type log, type journal, task-folder, workdir, session/conversation, type session/model, snapshots',
  'session/task':
    'async, errors, type contract, process, input, codex, store, journal, task-folder, session/recall, workdir, session/conversation, type session/model, session/account, snapshots, session/agent-channel',
  'session/connect':
    'async, errors, type contract, process, input, codex, type log, journal, task-folder, session/recall, session/conversation, type session/model, session/account, version, session/agent-channel, session/task',
  'session/host':
    'async, errors, type contract, formats, process, store, type config, type log, journal, task-folder, session/recall, type session/model, session/account, session/task, session/connect',
  activities:
    'async, errors, contract, budgets, process, store, type journal, type task-folder, session/conversation, type session/model, session/account, credentials, snapshots, session/task, session/connect, session/host',
  'listener-secret': 'errors',
  client: 'async, errors, contract, budgets, codec, input, proxies, listener-secret, view',
  temporal: 'async, errors, contract, codec, input, type log, type session/model, activities, client',
  dev: 'async, errors, process, config, proxies, listener-secret, client, temporal',
  listener:
    'async, errors, type contract, codec, input, journal, workdir, type session/model, listener-secret',
  testing:
    'async, errors, contract, budgets, codex, input, activities, session/recall, session/connect, session/conversation, temporal',
  worker:
    'async, errors, contract, process, codec, codex, store, config, log, task-folder, session/model, session/host, activities, listener-secret, client, temporal, listener',
  cli: 'async, errors, type contract, input, codex, store, config, log, version, credentials, snapshots, session/host, listener-secret, view, client, dev, worker',
  guard: 'async, process, task-folder',
  view: 'type contract',
  workflows: 'errors, contract, budgets, codec, input, type activities',
};

interface Lock {
  packages: Record<string, { version: string; optionalDependencies?: Record<string, string> }>;
}

const MAX_LINES = 300;

/** What a bundle of workflow code is made of. */
const WORKFLOW_CODE = [
  'workflows/index.ts',
  'workflows/query-safety-interceptor.ts',
  'workflows/signal-batch-interceptor.ts',
  'codec/payload-converter.ts',
  'codec/workflow-failure-converter.ts',
  'workflows/callers-interceptors.ts',
  'workflows/callers-payload-converter.ts',
];

let sources: SourceFile[];
beforeAll(async () => {
  sources = await readSources();
});

function partOf(path: string): string {
  const [folder = '', room = ''] = path.replace(/\.ts$/, '').split('/');
  return folder === 'session' ? `session/${room}` : folder;
}

function mayImport(from: string, to: string, typeOnly: boolean): boolean {
  const allowed = (ARROWS[from] ?? '').split(', ');
  return from === to || allowed.includes(to) || (typeOnly && allowed.includes(`type ${to}`));
}

describe('the arrows', () => {
  it('names every part in ARROWS, and no other', () => {
    expect(Object.keys(ARROWS).sort()).toEqual([...new Set(sources.map(({ path }) => partOf(path)))].sort());
  });

  it('allows each import only along an arrow', () => {
    const against = sources.flatMap(({ path, imports }) =>
      imports
        .filter(({ ours, target, typeOnly }) => ours && !mayImport(partOf(path), partOf(target), typeOnly))
        .map(({ target, typeOnly }) => `${path} imports ${typeOnly ? 'types of ' : ''}${target}`),
    );
    expect(against).toEqual([]);
  });

  it('resolves each import to a file that exists', () => {
    const known = new Set(sources.map(({ path }) => path));
    const missing = sources.flatMap(({ path, imports }) =>
      imports
        .filter(({ ours, target }) => ours && !known.has(target))
        .map(({ target }) => `${path}: ${target}`),
    );
    expect(missing).toEqual([]);
  });

  it('finds no circle of parts, not even of types', () => {
    const targets = new Map<string, Set<string>>();
    for (const { path, imports } of sources)
      for (const { ours, target } of imports)
        if (ours && partOf(target) !== partOf(path))
          targets.set(partOf(path), (targets.get(partOf(path)) ?? new Set()).add(partOf(target)));
    expect(findCircle(targets)).toEqual([]);
  });

  it('finds no circle of files, not even of types', () => {
    const targets = new Map(
      sources.map(({ path, imports }) => [
        path,
        new Set(imports.filter(({ ours }) => ours).map(({ target }) => target)),
      ]),
    );
    expect(findCircle(targets)).toEqual([]);
  });

  it('leaves no file loose in src/session', () => {
    expect(sources.map(({ path }) => path).filter((path) => /^session\/[^/]+$/.test(path))).toEqual([]);
  });

  it('keeps hosts and the list of tasks out of the account', () => {
    const whole = ['session/model/host-context.ts', 'session/model/host-tasks.ts'];
    const taking = sources
      .filter(({ path }) => path.startsWith('session/account/'))
      .filter(({ imports }) => imports.some(({ target }) => whole.includes(target)));
    expect(taking.map(({ path }) => path)).toEqual([]);
  });

  it('keeps activities and listener apart, except in session', () => {
    expect(mayImport('activities', 'listener', true)).toBe(false);
    expect(mayImport('listener', 'activities', true)).toBe(false);
  });
});

describe('the table of folders', () => {
  it('describes each folder of src, and no other', async () => {
    const [, table = ''] = (await readFile(join(packageRoot, 'ARCHITECTURE.md'), 'utf8')).split(
      '## Folders\n',
    );
    const rows = [...table.split('\n## ')[0]!.matchAll(/^\| `([\w/-]+)` +\| \S[^|\n]{10,}\|$/gm)];
    const folders = new Set(sources.map(({ path }) => dirname(path)).filter((folder) => folder !== '.'));
    expect(rows.map(([, folder]) => folder)).toEqual([...folders].sort());
  });
});

describe('workflow code', () => {
  it('imports nothing but the SDK, the contract and the input checks', () => {
    const byPath = new Map(sources.map((source) => [source.path, source]));
    const seen = new Set<string>();
    const foreign = new Set<string>();
    const load = (path: string): void => {
      if (seen.has(path)) return;
      seen.add(path);
      for (const { ours, target, typeOnly } of byPath.get(path)?.imports ?? []) {
        if (typeOnly) continue;
        if (ours) load(target);
        else foreign.add(target);
      }
    };
    WORKFLOW_CODE.forEach(load);
    expect(seen.size).toBeGreaterThan(5);
    const builtin = [...foreign].filter((name) => name.startsWith('node:') || builtinModules.includes(name));
    expect(builtin).toEqual([]);
    expect([...foreign].sort()).toEqual(['@temporalio/common', '@temporalio/workflow', 'valibot']);
  });
});

describe('code of a workflow', () => {
  /** What differs from one JavaScript engine or version of Unicode to another: a history must replay on each. */
  const ENGINE = /new RegExp|\bRegExp\(|\\p\{|\bIntl\b|localeCompare|toLocale|\.normalize\(|WellFormed\(/;

  it('uses nothing that differs between JavaScript engines', async () => {
    const byPath = new Map(sources.map((source) => [source.path, source]));
    const seen = new Set<string>();
    const load = (path: string): void => {
      if (seen.has(path)) return;
      seen.add(path);
      for (const { ours, target, typeOnly } of byPath.get(path)?.imports ?? [])
        if (ours && !typeOnly) load(target);
    };
    WORKFLOW_CODE.forEach(load);
    expect(seen).toContain('input/checks.ts');
    const texts = await Promise.all(
      [...seen].map(async (path) => ({ path, text: await readFile(join(packageRoot, 'src', path), 'utf8') })),
    );
    const code = (text: string) => text.replace(/\/\*\*?[\s\S]*?\*\/|\/\/ .*/g, '');
    expect(texts.filter(({ text }) => ENGINE.test(code(text))).map(({ path }) => path)).toEqual([]);
    expect(ENGINE.test('new RegExp(value)')).toBe(true);
  });
});

describe('sources', () => {
  it('reads process.env only in config, the command line and dev', () => {
    const readers = sources.filter(({ readsEnvironment }) => readsEnvironment).map(({ path }) => path);
    expect(readers.filter((path) => !['config', 'cli', 'dev'].includes(partOf(path)))).toEqual([]);
  });

  it('connects to Temporal with calls that end when the connection does', async () => {
    const opening = /(?<!Native)Connection\.(?:lazy|connect)\(/g;
    const bare: string[] = [];
    for (const { path } of sources) {
      const text = await readFile(join(packageRoot, 'src', path), 'utf8');
      const opened = [...text.matchAll(opening)].length;
      if (opened > [...text.matchAll(/interceptors: \[retryUntilClosed\]/g)].length) bare.push(path);
    }
    expect(bare).toEqual([]);
  });

  it(`keeps each file within ${MAX_LINES} lines`, () => {
    const long = sources
      .filter(({ lines }) => lines > MAX_LINES)
      .map(({ path, lines }) => `${path}: ${lines}`);
    expect(long).toEqual([]);
  });

  it('names each file in kebab-case', () => {
    const odd = sources
      .map(({ path }) => path)
      .filter((path) => !/^([a-z0-9]+(-[a-z0-9]+)*[/.])+ts$/.test(path));
    expect(odd).toEqual([]);
  });
});

describe('dependencies', () => {
  interface Manifest {
    dependencies: Record<string, string>;
    devDependencies: Record<string, string>;
  }
  const readJson = async (name: string): Promise<unknown> =>
    JSON.parse(await readFile(join(packageRoot, name), 'utf8'));

  it('pins each package that the wire or the history depends on', async () => {
    const { dependencies, devDependencies } = (await readJson('package.json')) as Manifest;
    const all = { ...dependencies, ...devDependencies };
    expect(all['@openai/codex']).toBe(CODEX_VERSION);
    const temporal = Object.entries(all).filter(([name]) => name.startsWith('@temporalio/'));
    expect(temporal.length).toBeGreaterThan(5);
    const versions = new Set(temporal.map(([, version]) => version));
    expect(versions.size, [...versions].join(', ')).toBe(1);
    expect([...versions][0]).toMatch(/^\d+\.\d+\.\d+$/);

    const { packages } = (await readJson('package-lock.json')) as Lock;
    const locked = Object.entries(packages).filter(([path]) => /^node_modules\/@temporalio\//.test(path));
    for (const [path, { version }] of locked.filter(([path]) => all[path.slice('node_modules/'.length)]))
      expect(`${path} ${version}`).toBe(`${path} ${[...versions][0]}`);
    expect(packages['node_modules/@openai/codex']?.version).toBe(CODEX_VERSION);
  });

  it('names the version of Codex in one source file and in the docs on it', async () => {
    const named = /\b0\.\d{3}\.\d+/;
    const files = (await readdir(join(packageRoot, 'src'), { recursive: true })).filter((name) =>
      name.endsWith('.ts'),
    );
    const naming: string[] = [];
    for (const file of files)
      if (named.test(await readFile(join(packageRoot, 'src', file), 'utf8'))) naming.push(file);
    expect(naming).toEqual(['codex/binary.ts']);
    const probed = await readFile(join(packageRoot, 'docs/codex-app-server.md'), 'utf8');
    expect(named.exec(probed)?.[0]).toBe(CODEX_VERSION);
  });
});

describe('the lock file', () => {
  it('has the packages of every platform, without which npm ci fails', async () => {
    const text = await readFile(join(packageRoot, 'package-lock.json'), 'utf8');
    const { packages } = JSON.parse(text) as Lock;
    const locked = Object.keys(packages);
    const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies)
        .filter((name) => !locked.some((each) => each.endsWith(`node_modules/${name}`)))
        .map((name) => `${path}: ${name}`),
    );
    expect(missing).toEqual([]);
  });
});

describe('this test', () => {
  it.each([
    ["import { a } from '../store/x.js'", { target: 'store/x.ts', typeOnly: false }],
    ["import type { a } from '../store/x.js'", { target: 'store/x.ts', typeOnly: true }],
    ["import { type a, type b } from './x.js'", { target: 'session/x.ts', typeOnly: true }],
    ["import { type a, b } from './x.js'", { target: 'session/x.ts', typeOnly: false }],
    ["import './x.js'", { target: 'session/x.ts', typeOnly: false }],
    ["export * from '../y.js'", { target: 'y.ts', typeOnly: false }],
    ["export type { a } from '../y.js'", { target: 'y.ts', typeOnly: true }],
    ["const a = await import('../y.js')", { target: 'y.ts', typeOnly: false }],
    ["let a: import('../y.js').A", { target: 'y.ts', typeOnly: true }],
  ])('sees %s', (text, expected) => {
    expect(inspectSource('session/a.ts', text).imports).toEqual([{ ...expected, ours: true }]);
  });

  it.each([
    ['const a = process.env.A', true],
    ["const a = process['env']", true],
    ['const { env, pid } = process', true],
    ['const { env: all } = process', true],
    ["import { env } from 'node:process'", true],
    ['const { pid } = process', false],
    ["const a = options.env['A']; // process.env", false],
  ])('judges %s', (text, reads) => {
    expect(inspectSource('session/a.ts', text).readsEnvironment).toBe(reads);
  });

  it('finds a circle', () => {
    const circle = new Map([
      ['a', new Set(['b'])],
      ['b', new Set(['c'])],
      ['c', new Set(['b'])],
    ]);
    expect(findCircle(circle)).toEqual(['b', 'c', 'b']);
  });
});

/** The first circle, as the way round; empty when there is none. */
function findCircle(targets: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const done = new Set<string>();
  const walk = (part: string, way: string[]): string[] => {
    if (way.includes(part)) return [...way.slice(way.indexOf(part)), part];
    if (done.has(part)) return [];
    for (const next of targets.get(part) ?? []) {
      const circle = walk(next, [...way, part]);
      if (circle.length > 0) return circle;
    }
    done.add(part);
    return [];
  };
  for (const part of targets.keys()) {
    const circle = walk(part, []);
    if (circle.length > 0) return circle;
  }
  return [];
}
