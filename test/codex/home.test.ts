import { chmod, copyFile, link, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { findCodex } from '../../src/codex/binary.js';
import { closedPlaces } from '../../src/codex/closed-places.js';
import { programPlaces } from '../../src/codex/home-programs.js';
import { sandboxSettings } from '../../src/codex/sandbox-profile.js';
import type { SandboxSettings } from '../../src/contract/index.js';
import { testFolder } from '../support/folders.js';
import { startTestCodex, testTask } from './test-codex.js';

let home: string;
beforeEach(async () => {
  home = join(await testFolder(), 'home');
  await put('.ssh/id', 'SECRET');
  await put('.npmrc', 'SECRET');
  await put('.cargo/credentials.toml', 'SECRET');
});

async function put(path: string, text: string): Promise<string> {
  await mkdir(dirname(join(home, path)), { recursive: true });
  await writeFile(join(home, path), text, { mode: 0o700 });
  return join(home, path);
}

async function linked(name: string, target: string): Promise<void> {
  await mkdir(dirname(join(home, name)), { recursive: true });
  await symlink(target, join(home, name));
}

const says = (word: string) => `#!/bin/sh\necho ${word}\n`;
const placesOn = (...path: string[]) =>
  programPlaces(path.map((each) => join(home, each)).join(':'), [home])
    .map((each) => each.slice(home.length + 1))
    .sort();

describe('a sandboxed command', () => {
  test.each(['home', 'a link to the home'])(
    'sees of %s only programs on PATH, codex among them, and the task',
    async (how) => {
      const named = how === 'home' ? home : join(await testFolder(), 'link');
      if (named !== home) await symlink(home, named);
      await put('.cargo/bin/made', says('made'));
      await put('.local/share/venvs/tool/lib/answer', 'of the tool');
      await put('.local/share/venvs/tool/pyvenv.cfg', '');
      await put(
        '.local/share/venvs/tool/bin/tool',
        `#!/bin/sh\ncat ${home}/.local/share/venvs/tool/lib/answer\n`,
      );
      await linked('.local/bin/tool', '../share/venvs/tool/bin/tool');
      await put('.nvm/versions/20/bin/newer', says('newer'));
      await put('.nvm/versions/20/lib/x', '');
      await linked('.nvm/current', 'versions/20');
      const binary = join(home, 'app/vendor/bin/codex');
      const bubblewrap = 'codex-resources/bwrap';
      const vendor = join(dirname((await findCodex()).path), '..');
      await put(`app/vendor/${bubblewrap}`, '').then((path) => rm(path));
      await mkdir(dirname(binary));
      for (const name of ['bin/codex', bubblewrap])
        // Hundreds of megabytes, where no link can be made.
        await link(join(vendor, name), join(home, 'app/vendor', name)).catch(() =>
          copyFile(join(vendor, name), join(home, 'app/vendor', name)),
        );
      const PATH = ['.cargo/bin', '.local/bin', '.nvm/current/bin'].map((each) => join(named, each));
      const codex = await startTestCodex({
        binary,
        dataDir: join(home, '.local/share/codex-task'),
        workerEnv: { HOME: named, PATH: [...PATH, '/usr/bin:/bin'].join(':') },
      });
      const tried = ['.ssh/id', '.npmrc', '.cargo/credentials.toml'].map(
        (each) => `${named}/${each} ${home}/${each}`,
      );
      expect(
        await codex.run(`made; tool; echo; newer; echo x > file; cat file; cat ${tried.join(' ')}`),
      ).toMatch(/^made\nof the tool\nnewer\nx\n(cat: .*No such file or directory\n){6}$/);
      expect(
        await codex.run(
          `find ${home} -name id -o -name .npmrc -o -name 'credentials*' 2> /dev/null; ls -A ${home}`,
        ),
      ).toBe('.cargo\n.local\n.nvm\napp\n');
    },
  );

  test('sees what is granted of the home', async () => {
    await put('project/file', 'of the project');
    const dataDir = join(home, 'project', 'data');
    const codex = await startTestCodex({
      dataDir,
      workerEnv: { HOME: home },
      config: () => ({ sandbox: { grants: [{ path: join(home, 'project'), access: 'ro' }] } }),
    });
    expect(await codex.run(`cat ${home}/project/file; ls -A ${home} ${dataDir}/tasks`)).toBe(
      `of the project${home}:\nproject\n\n${dataDir}/tasks:\na\n`,
    );
  });
});

describe('the view that commands have of a home', () => {
  test('shows the whole folder of a tool that is known to keep no secret', async () => {
    await put('.pyenv/shims/python', '');
    await put('.cargo/bin/cargo', '');
    await put('.docker/bin/x', '');
    await put('.docker/lib/x', '');
    expect(placesOn('.pyenv/shims', '.cargo/bin', '.docker/bin')).toEqual([
      '.cargo/bin',
      '.docker/bin',
      '.pyenv',
    ]);
  });

  test('shows only what programs need of a tool that also keeps credentials', async () => {
    for (const name of ['.foundry/keystores/k', '.rye/credentials', '.npm-global/etc/npmrc'])
      await put(name, '');
    for (const name of ['.dotnet/corefx/cryptography/x', 'go/src/app/.env', 'go/pkg/mod/x'])
      await put(name, '');
    for (const name of ['.foundry/bin/cast', '.rye/shims/x', '.npm-global/bin/x']) await put(name, '');
    for (const name of ['.npm-global/lib/x', '.dotnet/sdk/x', '.dotnet/dotnet', 'go/bin/x'])
      await put(name, '');
    const path = ['.foundry/bin', '.rye/shims', '.npm-global/bin', '.dotnet', 'go/bin'];
    const seen = ['.foundry/bin', '.npm-global/bin', '.npm-global/lib', '.rye/shims', 'go/bin'];
    expect(placesOn(...path.filter((each) => each !== '.dotnet'))).toEqual(seen);
    await put('.dotnet/tools/x', '');
    expect(placesOn('.dotnet/tools')).toEqual(['.dotnet/dotnet', '.dotnet/sdk', '.dotnet/tools']);
    expect(placesOn('.dotnet')).toEqual(['.dotnet/dotnet', '.dotnet/sdk', '.dotnet/tools']);
    await put('go/VERSION', '');
    expect(placesOn('go/bin')).toEqual(['go']);
  });

  test('shows a whole installation, but only the programs of a project or of settings', async () => {
    for (const name of ['opt/one', 'src/app', '.config/gh']) await put(`${name}/lib/x`, '');
    for (const name of ['opt/one', 'src/app', '.config/gh']) await put(`${name}/bin/x`, '');
    await put('src/app/.git/config', '');
    await put('src/app/node_modules/.bin/x', '');
    expect(placesOn('opt/one/bin', 'src/app/bin', '.config/gh/bin', 'src/app/node_modules/.bin')).toEqual([
      '.config/gh/bin',
      'opt/one',
      'src/app/bin',
      'src/app/node_modules',
    ]);
  });

  test('shows only programs of a project inside a larger one or without a repository', async () => {
    for (const name of ['mono/.git/x', 'mono/app/lib/x', 'mono/app/.env', 'src/app/lib/x'])
      await put(name, '');
    for (const name of ['src/app/.env', 'mono/venv/pyvenv.cfg', 'mono/venv/lib/x']) await put(name, '');
    for (const name of ['mono/app/bin/x', 'src/app/bin/x', 'mono/venv/bin/x']) await put(name, '');
    expect(placesOn('mono/app/bin', 'src/app/bin', 'mono/venv/bin')).toEqual([
      'mono/app/bin',
      'mono/venv',
      'src/app/bin',
    ]);
  });

  test('shows the program that a link on PATH leads to, and nothing next to it', async () => {
    await put('dotfiles/scripts/x', '');
    await linked('bin/x', '../dotfiles/scripts/x');
    await linked('bin/keys', '../.ssh');
    await linked('bin/npmrc', '../.npmrc');
    await chmod(join(home, '.npmrc'), 0o600);
    await linked('bin/home', '..');
    await linked('bin/gone', 'nowhere');
    expect(placesOn('bin')).toEqual(['bin', 'dotfiles/scripts/x']);
  });

  test('shows nothing when PATH names the home itself', () => {
    expect(placesOn('', '.', 'gone')).toEqual([]);
  });

  test('shows nothing when PATH names a folder that holds a closed one, or lies in one', async () => {
    const temp = dirname(await put('work/tmp/x', ''));
    await put('work/lib/x', '');
    for (const closed of [
      [home, temp],
      [temp, home],
    ])
      expect(programPlaces(`${home}/work:${home}/work/tmp`, closed)).toEqual([]);
    expect(programPlaces(home, [dirname(home), home])).toEqual([]);
  });
});

describe('the home that is closed', () => {
  test('is the home of HOME and that of the user', () => {
    expect(closedPlaces({ HOME: home })).toEqual(expect.arrayContaining([home, userInfo().homedir, '/tmp']));
  });

  test('is never a system folder, of which only hidden entries are closed', async () => {
    expect(closedPlaces({ HOME: '/' })).not.toContain('/');
    expect(closedPlaces({ HOME: '/usr/sbin' }).filter((each) => each.startsWith('/usr'))).toEqual([]);
    const seen = await filesystem({ workerEnv: { HOME: '/' } });
    expect(seen).toMatchObject({ '/usr': 'read', '/etc': 'read' });
    expect(Object.keys(seen).filter((path) => path.startsWith('/.'))).toEqual([]);
  });

  test('includes the runtime folders of the user and the worker', async () => {
    const [XDG_RUNTIME_DIR, CREDENTIALS_DIRECTORY] = [await testFolder(), await testFolder()];
    const env = { HOME: home, XDG_RUNTIME_DIR, CREDENTIALS_DIRECTORY };
    expect(closedPlaces(env)).toEqual(expect.arrayContaining([XDG_RUNTIME_DIR, CREDENTIALS_DIRECTORY]));
    for (const wide of ['/', '/run', '/usr/lib', '/var', '/gone', 'tmp'])
      expect(closedPlaces({ ...env, XDG_RUNTIME_DIR: wide })).not.toContain(wide);
    const seen = Object.keys(await filesystem({ workerEnv: { HOME: home, XDG_RUNTIME_DIR: '/run/lock' } }));
    for (const open of ['/run', '/run/lock', '/var/run', '/var/lock']) expect(seen).not.toContain(open);
  });

  test('is skipped when it does not exist', async () => {
    expect(await filesystem({ workerEnv: { HOME: '/nonexistent' } })).toMatchObject({ '/usr': 'read' });
  });

  test('lets commands through a link on PATH to what is open', async () => {
    await linked('current', '/usr/share');
    await linked('keys', '.ssh');
    const PATH = ['current', 'current/doc', 'keys/gone'].map((each) => join(home, each)).join(':');
    const seen = Object.keys(await filesystem({ workerEnv: { HOME: home, PATH } }));
    expect(seen.filter((path) => path.startsWith(home))).toEqual([join(home, 'current')]);
  });

  test('is open, even for writing, where a grant holds it', async () => {
    const seen = await filesystem({
      workerEnv: { HOME: home, PATH: await put('bin/x', '').then(dirname) },
      sandbox: { grants: [{ path: dirname(home), access: 'rw' }] },
    });
    expect(seen[dirname(home)]).toBe('write');
    expect(Object.keys(seen).filter((path) => path.startsWith(home))).toEqual([]);
  });
});

async function filesystem(more: {
  workerEnv: NodeJS.ProcessEnv;
  sandbox?: SandboxSettings;
}): Promise<Record<string, string>> {
  const { dataDir, work: workDir } = await testTask();
  const path = more.workerEnv['PATH'];
  const settings = sandboxSettings({ dataDir, workDir, sandbox: {}, path, ...more });
  return (settings['permissions'] as { task: { filesystem: Record<string, string> } }).task.filesystem;
}
