import { existsSync } from 'node:fs';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { testFolder } from '../support/folders.js';
import { startTestCodex, type TestTask } from './test-codex.js';

describe('the .git of a writable workdir', () => {
  const start = (prepare?: (task: TestTask) => Promise<unknown>, warnings: string[] = []) =>
    startTestCodex({
      config: async (task) => {
        await prepare?.(task);
        return { sandbox: { git: 'writable' }, warnings };
      },
    });
  const commit = 'git -c user.name=a -c user.email=a@b commit -q --allow-empty -m first';

  test('is a repository after git init, and nothing it names runs outside the sandbox', async () => {
    const codex = await start();
    const marker = join(codex.dataDir, 'escaped');
    const program = `printf '#!/bin/sh\\ntouch ${marker}\\n' > p; chmod +x p; git config core.fsmonitor "$PWD/p"`;
    expect(await codex.run(`git init -q . && ${commit} && git log --format=%s; ${program}`)).toBe('first\n');
    await codex.run('true');
    await codex.rpc.call('thread/start', { cwd: codex.work }, { timeoutMs: 10_000 });
    expect(existsSync(marker)).toBe(false);
    expect(await codex.run('git rev-parse --show-toplevel')).toBe(`${codex.work}\n`);
  });

  test('is read by no git that Codex runs itself', async () => {
    const programs = await testFolder();
    const log = join(programs, 'log');
    const git = `#!/bin/sh\necho "$GIT_DIR" >> ${log}\nexec /usr/bin/env PATH=/usr/bin:/bin git "$@"\n`;
    await writeFile(join(programs, 'git'), git, { mode: 0o755 });
    const codex = await startTestCodex({
      config: () => ({ sandbox: { git: 'writable' } }),
      workerEnv: { PATH: `${programs}:${process.env['PATH']}` },
    });
    // Its own line cannot be written from within the sandbox.
    await codex.run('git init -q .');
    await codex.rpc.call('thread/start', { cwd: codex.work }, { timeoutMs: 10_000 });
    await codex.run('true');
    expect(new Set((await readFile(log, 'utf8')).trim().split('\n'))).toEqual(new Set(['/dev/null']));
  });

  test('cannot be replaced, so that no later command writes through it', async () => {
    const codex = await start();
    const link = `rm -rf .git; rmdir .git; mv .git other; ln -sfn ${codex.codexHome} .git`;
    await codex.run(link);
    await codex.run(`git init -q .; ${link}`);
    expect(await codex.run('ls -ld .git; cat .git/auth.json')).toMatch(/^drwx.*No such file/s);
  });

  test.each<[string, (task: TestTask) => Promise<unknown>]>([
    ['a link', ({ work, codexHome }) => symlink(codexHome, join(work, '.git'))],
    ['a file', ({ work }) => writeFile(join(work, '.git'), 'gitdir: elsewhere')],
  ])('is left alone where it is %s, with a warning', async (_, prepare) => {
    const warnings: string[] = [];
    const codex = await start(prepare, warnings);
    expect(warnings).toEqual([expect.stringMatching(/^sandbox\.git: /)]);
    expect(await codex.run('echo x > .git/file; cat .git/auth.json')).not.toContain('key-of-task-a');
  });
});
