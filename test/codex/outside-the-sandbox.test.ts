import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { renderConfig } from '../../src/codex/config-toml.js';
import { placesOf, safePath } from '../../src/codex/task-places.js';
import { prepareProtocol, protocolEnvironment } from '../../src/session/agent-channel/protocol-folder.js';
import { testFolder } from '../support/folders.js';
import { until } from '../support/until.js';
import { startTestCodex, testTask, type TestCodex } from './test-codex.js';

const ESCALATED = { sandbox_permissions: 'require_escalated', justification: 'because' };

/** Runs a command outside the sandbox, with permission. */
async function runApproved(codex: TestCodex, command: string): Promise<void> {
  codex.received.length = 0;
  await codex.startTurn(command, ESCALATED);
  const { id } = await codex.saw('item/commandExecution/requestApproval');
  codex.rpc.respond(id!, { decision: 'accept' });
  await codex.saw('turn/completed');
}

describe('a sandboxed command', () => {
  test('can write neither its home nor a PATH entry, and finds a place for its caches', async () => {
    const codex = await startTestCodex({
      config: async (task) => {
        await prepareProtocol(task.work);
        return { env: protocolEnvironment({ hostProtocol: true }, task.work, process.env) };
      },
    });
    const tried = await codex.run(
      'for place in ~ $(echo "$PATH" | tr ":" " "); do ' +
        'touch "$place/planted" 2> /dev/null && echo "WROTE $place"; done; ' +
        'for place in "$XDG_CACHE_HOME" "$npm_config_cache" "$PIP_CACHE_DIR"; do ' +
        'mkdir -p "$place" && touch "$place/x" && echo "CACHED $place"; done; echo "BROWSER $(command -v xdg-open)"',
    );
    expect(tried).not.toContain('WROTE');
    expect(tried.match(/CACHED/g)).toHaveLength(3);
    expect(tried).not.toContain(`CACHED ${codex.work}`);
    expect(tried).toContain(`BROWSER ${placesOf(codex.work).bin}/xdg-open`);
  });

  test('plants no startup file for the shell of an approved command', async () => {
    const outside = await testFolder();
    const codex = await startTestCodex({ approvals: 'on-request' });
    const plant = `echo 'echo ran > ${join(outside, 'ran')}'`;
    const files = ['.bashrc', '.bash_profile', '.profile', '.bash_login', '.zshenv', '.config/x'];
    await codex.run(
      `cd ${codex.work}; ${files.map((file) => `${plant} > ~/${file}; ${plant} > ./${file}`).join('; ')}`,
    );
    await runApproved(codex, `echo approved > ${join(outside, 'approved')}`);
    expect(await readFile(join(outside, 'approved'), 'utf8')).toBe('approved\n');
    expect(existsSync(join(outside, 'ran'))).toBe(false);
  });
});

test('programs that codex starts by itself do not begin in the workdir', async () => {
  const outside = await testFolder();
  const to = (name: string) => join(outside, name);
  const codex = await startTestCodex({
    config: async ({ work }) => {
      await writeFile(join(work, 'json.py'), `open(${JSON.stringify(to('ran'))}, 'w').write('ran')\n`);
      return {
        codexConfig: {
          notify: ['/bin/sh', '-c', `pwd > ${to('notify')}`],
          mcp_servers: {
            shows: { command: '/bin/sh', args: ['-c', `pwd > ${to('mcp')}; exec cat`] },
            py: { command: 'python3', args: ['-m', 'json.tool'] },
          },
        },
      };
    },
  });
  await codex.run('true');
  const { user } = placesOf(codex.work);
  const read = (name: string) => until(name, () => existsSync(to(name)) && readFile(to(name), 'utf8'));
  expect(await read('mcp')).toBe(`${user}\n`);
  expect(await read('notify')).toBe(`${user}\n`);
  expect(existsSync(to('ran'))).toBe(false);
});

describe('a working folder that commands can write', () => {
  const server = (cwd: string) => ({ mcp_servers: { s: { command: 'x', cwd } } });
  const auth = (cwd: string) => ({ model_providers: { p: { name: 'p', auth: { command: 'x', cwd } } } });

  test.each(['work', 'work/sub', 'cache', 'tmp', 'relative'])(
    '(%s) is bad input of a task',
    async (where) => {
      const { dataDir, work } = await testTask();
      const cwd = where === 'tmp' ? '/tmp/x' : where === 'relative' ? 'x' : join(work, '..', where);
      for (const [config, path] of [
        [server(cwd), 'mcp_servers.s.cwd'],
        [auth(cwd), 'model_providers.p.auth.cwd'],
      ] as const)
        expect(() => renderConfig({ dataDir, workDir: work, codexConfig: config })).toThrow(
          `codexConfig.${path}: expected an absolute folder that commands cannot write`,
        );
    },
  );

  test('is dropped from a seed and named', async () => {
    const { dataDir, work } = await testTask();
    const warnings: string[] = [];
    const seedConfigToml = `[mcp_servers.s]\ncommand = "x"\ncwd = ${JSON.stringify(work)}\n`;
    const toml = renderConfig({ dataDir, workDir: work, seedConfigToml, warnings });
    expect(toml).toContain(`cwd = ${JSON.stringify(placesOf(work).user)}`);
    expect(warnings).toEqual([expect.stringContaining('mcp_servers.s.cwd')]);
  });
});

test('a PATH keeps only absolute entries that no command can write', () => {
  expect(safePath('/usr/bin::.:bin:/w/x:/bin', ['/w'])).toBe('/usr/bin:/bin');
});
