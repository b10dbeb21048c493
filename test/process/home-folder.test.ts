import { spawnSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { packageRoot } from '../../src/dev/package-root.js';

/** A user that no file names, as containers may run with; this process must be root to become it. It may read this checkout. */
const NOBODY = [
  ...['--reuid', '12345', '--regid', '12345', '--clear-groups'],
  ...['--inh-caps', '+dac_read_search', '--ambient-caps', '+dac_read_search'],
];

test('a user without name and HOME has a home folder, and loses leftover sockets', () => {
  const lib = (path: string) => JSON.stringify(pathToFileURL(join(packageRoot, 'lib', path)).href);
  const program = `
    const { homeFolder } = await import(${lib('process/home-folder.js')});
    const { removeSocketLeftovers } = await import(${lib('process/socket-leftovers.js')});
    const { readConfig } = await import(${lib('config.js')});
    await removeSocketLeftovers('/tmp/no-such-folder/codex.sock');
    console.log(homeFolder(process.env), readConfig({ CODEX_TASK_DATA_DIR: '/data' }).dataDir);`;
  const become = process.geteuid!() === 0 ? ['setpriv', ...NOBODY] : [];
  const [command, ...args] = [...become, process.execPath, '--input-type=module', '-e', program];
  const { stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] },
  });
  expect(stderr).toBe('');
  expect(stdout).toMatch(become.length > 0 ? /^\/ \/data\n$/ : / \/data\n$/);
});
