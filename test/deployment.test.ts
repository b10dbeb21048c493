import { execFile, spawnSync } from 'node:child_process';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { readConfig } from '../src/config.js';
import { findTemporalCli } from '../src/dev/temporal/choose-temporal.js';
import { packageRoot } from '../src/dev/package-root.js';
import { testFolder } from './support/folders.js';
import { stackOptions } from './support/shared-servers.js';
import { sharedNamespace } from './support/temporal.js';

interface Service {
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly stop_grace_period?: string;
  readonly healthcheck?: { readonly test: readonly string[] };
}

const read = (path: string) => readFile(join(packageRoot, path), 'utf8');
const { services } = parse(await read('docker-compose.yml')) as { services: Record<string, Service> };

/** Scripts that compose runs in a shell, as that shell gets them. */
const scripts = Object.entries(services).flatMap(([name, { entrypoint, command }]) =>
  entrypoint && command?.length === 1
    ? [{ name, entrypoint, script: command[0]!.replaceAll('$$', '$') }]
    : [],
);

/** Stand-ins for what the images have and this machine may lack; each says how it was called. */
const PROGRAMS = ['temporal', 'temporal-sql-tool', 'docker-entrypoint.sh', 'chown', 'sleep'];

async function run({ entrypoint, script }: (typeof scripts)[number]) {
  const stubs = await testFolder();
  for (const name of PROGRAMS)
    await writeFile(join(stubs, name), `#!/bin/sh\necho "${name} $*"\n`, { mode: 0o755 });
  return spawnSync(entrypoint[0]!, [...entrypoint.slice(1), script], {
    encoding: 'utf8',
    env: {
      PATH: `${stubs}:${process.env['PATH']}`,
      TMPDIR: stubs,
      TEMPORAL_NAMESPACE: 'default',
      MONGO_INITDB_ROOT_PASSWORD: 'secret-1',
    },
  });
}

test('compose has three scripts, each with a test below', () => {
  expect(scripts.map(({ name }) => name).sort()).toEqual(['mongodb', 'temporal-schema', 'temporal-setup']);
});

test.each(scripts)('the script of the service $name succeeds, with each program it calls', async (script) => {
  const { status, stderr } = await run(script);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
});

test('the setup asks for each search attribute that the worker uses', async () => {
  const { stdout } = await run(scripts.find(({ name }) => name === 'temporal-setup')!);
  const asked = [...stdout.matchAll(/--type Keyword --name (Codex\w+)/g)].map(([, name]) => name);
  const used = [...(await read('src/workflows/shown-attributes.ts')).matchAll(/'(Codex[A-Z]\w+)'/g)];
  expect([...new Set(asked)].sort()).toEqual([...new Set(used.map(([, name]) => name))].sort());
});

test('the setup succeeds on a real server, and when repeated', async () => {
  const { address, namespace } = await sharedNamespace();
  const bin = await testFolder();
  await symlink(await findTemporalCli(stackOptions('', new AbortController().signal)), join(bin, 'temporal'));
  const { entrypoint, script } = scripts.find(({ name }) => name === 'temporal-setup')!;
  const env = {
    PATH: `${bin}:${process.env['PATH']}`,
    HOME: bin,
    TEMPORAL_ADDRESS: address,
    TEMPORAL_NAMESPACE: namespace,
  };
  for (let time = 0; time < 2; time++)
    await promisify(execFile)(entrypoint[0]!, [...entrypoint.slice(1), script], { env });
});

test('the database of compose is a replica set, with a shared key that no log shows', async () => {
  const { stdout } = await run(scripts.find(({ name }) => name === 'mongodb')!);
  expect(stdout).toMatch(/^docker-entrypoint\.sh mongod --replSet codex --bind_ip_all --keyFile \/.+\.key$/m);
  expect(stdout).not.toContain('secret-1');
  expect(services['worker']!.environment!['MONGODB_URI']).toContain('replicaSet=codex');
  expect(services['mongodb']!.healthcheck!.test[1]).toContain('rs.initiate({ _id: "codex"');
});

test('a container allows the time of a graceful stop, which its image requests', async () => {
  expect(services['worker']!.stop_grace_period).toBe('60s');
  const dockerfile = await read('Dockerfile');
  expect(dockerfile).toMatch(/CODEX_TASK_DRAIN=stop/);
  expect(dockerfile).toMatch(/^ENTRYPOINT \["tini", "--"\]$/m);
});

test('a worker reads each setting of .env.example as its comment says, set or empty', async () => {
  const lines = (await read('.env.example')).split('\n');
  const given = lines.flatMap((line) => /^(\w+)=(.*)$/.exec(line)?.slice(1, 3) ?? []);
  const values: Record<string, string> = {};
  for (let at = 0; at < given.length; at += 2) values[given[at]!] = given[at + 1]!;
  expect(Object.keys(values)).toContain('CODEX_TASK_SEED_KEY');
  expect(readConfig(values).seedKeys.writes).toBeNull();
  const set = {
    ...values,
    CODEX_TASK_LISTENER_SECRET: 's'.repeat(32),
    CODEX_TASK_SEED_KEY: `2026:${Buffer.alloc(32, 7).toString('base64')}`,
    CODEX_TASK_MAX_SESSIONS: '3',
    CODEX_TASK_CORS_ORIGINS: 'https://example.com',
  };
  expect(readConfig(set)).toMatchObject({ maxSessions: 3, seedKeys: { writes: { id: '2026' } } });
});

test('systemd accepts the unit, which leaves Codex running', async () => {
  const unit = await read('deploy/codex-task.service');
  expect(unit).toMatch(/^KillMode=process$/m);
  expect(unit).toMatch(/^TimeoutStopSec=60$/m);
  const verified = spawnSync('systemd-analyze', ['verify', join(packageRoot, 'deploy/codex-task.service')], {
    encoding: 'utf8',
  });
  // Where systemd is not installed there is nothing that could verify it.
  if (verified.error) return;
  expect(verified.stderr.split('\n').filter((line) => /codex-task\.service/.test(line))).toEqual([]);
});
