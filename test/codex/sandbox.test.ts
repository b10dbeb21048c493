import { stringify } from 'smol-toml';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { checkSandbox } from '../../src/codex/preflight.js';
import type { SandboxMode } from '../../src/contract.js';
import { testFolder } from '../support/folders.js';
import { startTestCodex } from './test-codex.js';

describe.each<SandboxMode>(['workspace-write', 'read-only'])('a command in mode %s', (mode) => {
  const start = () => startTestCodex({ config: () => ({ sandbox: { mode } }) });

  test('sees neither the credential nor another task nor the data folder', async () => {
    const codex = await start();
    expect(await codex.run(`cat ${codex.codexHome}/auth.json`)).not.toContain('key-of-task-a');
    expect(await codex.run(`cat ${codex.dataDir}/tasks/b/work/other.txt`)).not.toContain('text of task b');
    expect(await codex.run(`ls ${codex.dataDir}/tasks`)).toBe('a\n');
    expect(await codex.run(`ls ${codex.dataDir}/tasks/a`)).not.toMatch(/codex.log|codex.sock|auth/);
  });

  test('reads its workdir and the system', async () => {
    const codex = await start();
    await writeFile(join(codex.work, 'mine.txt'), 'text of task a');
    expect(await codex.run('cat mine.txt; head -c 5 /etc/passwd')).toMatch(/text of task aroot:/);
  });

  test('cannot write outside its workdir', async () => {
    const codex = await start();
    expect(await codex.run('echo x > /opt/written-by-a-test')).toContain('Read-only');
    await codex.run(`echo x > ${codex.dataDir}/written; echo x > ${codex.home}/written`);
    expect(await readdir(codex.dataDir)).toEqual(['tasks']);
    expect(await readdir(codex.home)).not.toContain('written');
  });

  test('has no network', async () => {
    const codex = await start();
    const port = await greetingPort();
    expect(await codex.run(`(exec 3<>/dev/tcp/127.0.0.1/${port}) && echo connected`)).toContain(
      'not permitted',
    );
  });

  test('cannot reach the socket of codex', async () => {
    const codex = await start();
    expect(await codex.run('ls /tmp/codex-daemon-$(id -u)')).toContain('Permission denied');
  });

  test('passes the check before the first turn', async () => {
    const codex = await start();
    await expect(checkSandbox(codex.rpc, codex)).resolves.toBeUndefined();
  });
});

test('the workdir is writable in workspace-write, not in read-only', async () => {
  const writer = await startTestCodex();
  expect(await writer.run('echo new > file && cat file')).toBe('new\n');
  const reader = await startTestCodex({ config: () => ({ sandbox: { mode: 'read-only' } }) });
  expect(await reader.run('echo new > file')).toContain('Read-only file system');
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

test.each<SandboxMode>(['workspace-write', 'read-only'])(
  'not even an escalated command reads the credential, the journal or the listener’s secret, in mode %s',
  async (mode) => {
    const codex = await startTestCodex({
      approvals: 'on-request',
      config: async ({ dataDir, home }) => {
        await mkdir(join(home, '..', 'journal'));
        await writeFile(join(home, '..', 'journal', 'events'), 'text of the journal');
        await writeFile(join(dataDir, 'listener-secret'), 'text of the secret');
        return { sandbox: { mode } };
      },
    });
    const { codexHome, home, dataDir } = codex;
    const files = [
      join(codexHome, 'auth.json'),
      join(home, '../journal/events'),
      join(dataDir, 'listener-secret'),
    ];
    await codex.startTurn(`cat ${files.join(' ')}; echo end`, {
      sandbox_permissions: 'require_escalated',
      justification: 'x',
    });
    const { id } = await codex.saw('item/commandExecution/requestApproval');
    codex.rpc.respond(id!, { decision: 'accept' });
    await codex.saw('turn/completed');
    const output = JSON.stringify(codex.model.requests.at(-1)?.body['input']);
    expect(output).toContain('end');
    expect(output).not.toContain('key-of-task-a');
    expect(output).not.toContain('text of');
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
  'a read-only grant inside the data folder is readable, not writable, and opens nothing beside it, in mode %s',
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

test('a read-only grant in the temporary folder, which is writable, is not', async () => {
  const shared = await testFolder();
  await writeFile(join(shared, 'file'), 'shared text');
  const codex = await startTestCodex({
    config: () => ({ sandbox: { grants: [{ path: shared, access: 'ro' }] } }),
  });
  // One stream, so that what was said in between stands in between.
  const command = `{ cat ${shared}/file; echo x > ${shared}/file; cat ${shared}/file; } 2>&1`;
  expect(await codex.run(command)).toMatch(/shared text.*Read-only.*shared text/s);
});

test('what was beside the data folder and is gone hinders no command', async () => {
  const beside = await testFolder();
  const codex = await startTestCodex();
  await rm(beside, { recursive: true });
  expect(await codex.run('echo new > file && cat file')).toBe('new\n');
});

test('a link beside the data folder does not open it', async () => {
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

test('with network a command reaches loopback', async () => {
  const port = await greetingPort();
  const codex = await startTestCodex({ config: () => ({ sandbox: { network: true } }) });
  expect(await codex.run(`exec 3<>/dev/tcp/127.0.0.1/${port}; cat <&3`)).toBe('hello\n');
});

test('danger-full-access confines nothing', async () => {
  const codex = await startTestCodex({ config: () => ({ sandbox: { mode: 'danger-full-access' } }) });
  expect(await codex.run(`cat ${codex.codexHome}/auth.json`)).toContain('key-of-task-a');
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

test('a command sees codex’s core variables and the given ones, nothing passed on', async () => {
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

/** A port of loopback that says hello to whoever connects. */
async function greetingPort(): Promise<number> {
  const listener = createServer((socket) => socket.end('hello\n')).listen(0, '127.0.0.1');
  onTestFinished(() => void listener.close());
  await once(listener, 'listening');
  return (listener.address() as AddressInfo).port;
}
