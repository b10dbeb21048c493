import { stringify } from 'smol-toml';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { checkSandbox } from '../../src/codex/preflight.js';
import { placesOf } from '../../src/codex/task-places.js';
import type { SandboxMode } from '../../src/contract/index.js';
import { testFolder } from '../support/folders.js';
import { startTestCodex } from './test-codex.js';

describe.each<SandboxMode>(['workspace-write', 'read-only'])('a command in mode %s', (mode) => {
  const start = () => startTestCodex({ config: () => ({ sandbox: { mode } }) });

  test('reads its workdir and the system', async () => {
    const codex = await start();
    await writeFile(join(codex.work, 'mine.txt'), 'text of task a');
    expect(await codex.run('cat mine.txt; head -c 5 /etc/passwd')).toMatch(/text of task aroot:/);
  });

  test('passes the check before the first turn', async () => {
    const codex = await start();
    await expect(checkSandbox(codex.rpc, codex)).resolves.toBeUndefined();
  });
});

test.each<SandboxMode>(['workspace-write', 'read-only'])(
  'an escalated command runs in the workdir, in mode %s',
  async (mode) => {
    const codex = await startTestCodex({ approvals: 'on-request', config: () => ({ sandbox: { mode } }) });
    await codex.startTurn('pwd; echo new > file', {
      sandbox_permissions: 'require_escalated',
      justification: 'x',
    });
    const { id } = await codex.saw('item/commandExecution/requestApproval');
    codex.rpc.respond(id!, { decision: 'accept' });
    await codex.saw('turn/completed');
    expect(await readFile(join(codex.work, 'file'), 'utf8')).toBe('new\n');
    const output = JSON.stringify(codex.model.requests.at(-1)?.body['input']);
    expect(output).toContain(codex.work);
    expect(output).not.toContain('Permission denied');
  },
);

test('a writable grant is writable, inside and outside the data folder', async () => {
  const outside = await testFolder();
  const codex = await startTestCodex({
    config: async ({ dataDir }) => {
      await mkdir(join(dataDir, 'shared'));
      const grants = [outside, join(dataDir, 'shared')].map((path) => ({ path, access: 'rw' as const }));
      return { sandbox: { grants } };
    },
  });
  await codex.run(`echo out > ${outside}/file; echo in > ${codex.dataDir}/shared/file`);
  expect(await readFile(join(outside, 'file'), 'utf8')).toBe('out\n');
  expect(await readFile(join(codex.dataDir, 'shared', 'file'), 'utf8')).toBe('in\n');
});

test.each<SandboxMode>(['workspace-write', 'read-only'])(
  'a read-only grant inside the data folder opens nothing next to it, in mode %s',
  async (mode) => {
    const codex = await startTestCodex({
      config: async ({ dataDir }) => {
        await mkdir(join(dataDir, 'shared'));
        await writeFile(join(dataDir, 'shared', 'file'), 'shared text');
        return { sandbox: { mode, grants: [{ path: join(dataDir, 'shared'), access: 'ro' }] } };
      },
    });
    expect(await codex.run(`cat ${codex.dataDir}/shared/file`)).toBe('shared text');
    expect(await codex.run(`echo x > ${codex.dataDir}/shared/file`)).toContain('Read-only file system');
    expect(await codex.run(`cat ${codex.codexHome}/auth.json`)).not.toContain('key-of-task-a');
    expect(await codex.run('echo new > file && cat file')).toMatch(
      mode === 'read-only' ? /Read-only file system/ : /^new\n$/,
    );
  },
);

test('a read-only grant in the temporary folder, which is writable, is not writable', async () => {
  const shared = await testFolder();
  await writeFile(join(shared, 'file'), 'shared text');
  const codex = await startTestCodex({
    config: () => ({ sandbox: { grants: [{ path: shared, access: 'ro' }] } }),
  });
  const command = `cat ${shared}/file; echo x > ${shared}/file; cat ${shared}/file`;
  expect(await codex.run(command)).toMatch(/shared text.*Read-only.*shared text/s);
});

test('commands of a task share a temporary folder as TMPDIR and /tmp', async () => {
  const others = [join('/tmp', `sandbox-${process.pid}`), join('/var/tmp', `sandbox-${process.pid}`)];
  for (const path of others) await writeFile(path, 'of another');
  onTestFinished(async () => {
    for (const path of [...others, `${others[0]}-new`]) await rm(path, { force: true });
  });
  const codex = await startTestCodex();
  const { temp } = placesOf(codex.work);
  expect(
    await codex.run(`cat ${others.join(' ')}; echo new > ${others[0]}-new; echo "$TMPDIR"; mktemp`),
  ).toMatch(new RegExp(`^(cat: .*No such file or directory\\n){2}${temp}\\n${temp}/tmp\\..*\\n$`));
  expect(await codex.run(`cat ${others[0]}-new; sh -c 'echo "$TMP $TEMP"'`)).toBe(`new\n${temp} ${temp}\n`);
  expect(await readFile(join(temp, `sandbox-${process.pid}-new`), 'utf8')).toBe('new\n');
  expect(existsSync(`${others[0]}-new`)).toBe(false);
});

test('a data folder below /tmp works, and nothing else of /tmp is seen', async () => {
  const parent = await mkdtemp('/tmp/sandbox-');
  onTestFinished(() => rm(parent, { recursive: true, force: true }));
  await writeFile(join(parent, 'beside'), 'of another');
  const codex = await startTestCodex({ dataDir: join(parent, 'data') });
  expect(await codex.run(`echo mine > file; cat file ${parent}/beside; ls /tmp; mktemp`)).toMatch(
    new RegExp(
      `^mine\\ncat: .*No such file or directory\\n${basename(parent)}\\n${placesOf(codex.work).temp}/tmp`,
    ),
  );
});

test('commands run after a readable folder next to the data folder was removed', async () => {
  const beside = await testFolder();
  const codex = await startTestCodex();
  await rm(beside, { recursive: true });
  expect(await codex.run('echo new > file && cat file')).toBe('new\n');
});

test('a link next to the data folder does not open it', async () => {
  const beside = await testFolder();
  const codex = await startTestCodex({
    config: async ({ dataDir }) => {
      await symlink(dataDir, join(beside, 'link'));
      return { sandbox: { mode: 'read-only' } };
    },
  });
  const seen = await codex.run(
    `cat ${beside}/link/tasks/a/home/.codex/auth.json; cat ${beside}/link/tasks/b/work/*`,
  );
  expect(seen).not.toMatch(/key-of-task-a|text of task b/);
});

test('a config in the workdir cannot change the sandbox', async () => {
  const codex = await startTestCodex({
    config: async ({ work }) => {
      await mkdir(join(work, '.codex'));
      await writeFile(
        join(work, '.codex', 'config.toml'),
        'default_permissions = ":danger-full-access"\n[shell_environment_policy]\ninherit = "all"\n',
      );
      return {};
    },
    workerEnv: { SECRET_OF_MCP: 'passed-only-to-codex' },
    passEnv: ['SECRET_OF_MCP'],
  });
  expect(await codex.run(`cat ${codex.codexHome}/auth.json`)).not.toContain('key-of-task-a');
  expect(await codex.run('env')).not.toContain('passed-only-to-codex');
});

test('the settings of a seed cannot change the sandbox', async () => {
  const seedConfigToml = stringify({
    sandbox_mode: 'danger-full-access',
    default_permissions: ':danger-full-access',
    permissions: { task: { filesystem: { '/opt': 'write' } } },
    profiles: { loose: { sandbox_mode: 'danger-full-access' } },
  });
  const codex = await startTestCodex({ config: () => ({ seedConfigToml }) });
  expect(await codex.run(`cat ${codex.codexHome}/auth.json`)).not.toContain('key-of-task-a');
  expect(await codex.run('echo x > /opt/written-by-a-test')).toContain('Read-only file system');
});

test('a command with the network sees proxy, certificates and what the operator names', async () => {
  const workerEnv = {
    HTTPS_PROXY: 'http://user:hunter2@proxy.example:3128',
    SSL_CERT_FILE: '/etc/ssl/certs/ca-certificates.crt',
    PIP_INDEX_URL: 'https://user:of-the-index@pypi.example',
    SECRET_OF_MCP: 'passed-only-to-codex',
    given_key: 'passed-only-to-codex',
    WORKER_SECRET: 'never-leaves',
    MODEL_KEY: 'key-of-the-model',
  };
  const warnings: string[] = [];
  const commandEnv = ['PIP_INDEX_URL', 'MISSING'];
  const codex = await startTestCodex({
    config: () => ({
      sandbox: { network: true },
      env: { GIVEN_TOKEN: 'given', GIVEN_KEY: 'mine' },
      workerEnv,
      commandEnv,
      passEnv: ['SECRET_OF_MCP', 'given_key'],
      warnings,
    }),
    workerEnv,
    passEnv: ['SECRET_OF_MCP', 'given_key', ...commandEnv],
    apiKeyEnv: 'MODEL_KEY',
  });
  const seen = await codex.run('env; tr "\\0" "\\n" < /proc/1/environ; tr "\\0" "\\n" < /proc/$PPID/environ');
  for (const line of [
    'HTTPS_PROXY=http://proxy.example:3128',
    'NO_PROXY=localhost,127.0.0.1,::1',
    'SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt',
    'PIP_INDEX_URL=https://user:of-the-index@pypi.example',
    'GIVEN_TOKEN=given',
    'GIVEN_KEY=mine',
    `HOME=${join(codex.work, '../user')}`,
  ])
    expect(seen).toContain(`${line}\n`);
  expect(seen).toMatch(/^PATH=/m);
  expect(seen).not.toMatch(/hunter2|passed-only-to-codex|never-leaves|key-of-the-model|CODEX_HOME/);
  expect(await readFile(join(codex.codexHome, 'config.toml'), 'utf8')).not.toMatch(/hunter2|of-the-index/);
  expect(warnings).toEqual([expect.stringMatching(/^Commands get HTTPS_PROXY without the login/)]);
});

test('a command sees Codex’s core variables and given ones, but no passed-on ones', async () => {
  const codex = await startTestCodex({
    config: () => ({ env: { GIVEN_TOKEN: 'given' } }),
    workerEnv: {
      SECRET_OF_MCP: 'passed-only-to-codex',
      WORKER_SECRET: 'never-leaves',
      MODEL_KEY: 'key-of-the-model',
    },
    passEnv: ['SECRET_OF_MCP'],
    apiKeyEnv: 'MODEL_KEY',
  });
  const seen = await codex.run('env; tr "\\0" "\\n" < /proc/1/environ; tr "\\0" "\\n" < /proc/$PPID/environ');
  expect(seen).toContain('GIVEN_TOKEN=given');
  expect(seen).toContain(`HOME=${join(codex.work, '../user')}\n`);
  expect(seen).not.toMatch(/passed-only-to-codex|never-leaves|key-of-the-model|CODEX_HOME/);
});
