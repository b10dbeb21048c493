import { spawnSync } from 'node:child_process';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import type { PermissionRule } from '../../../../src/contract/index.js';
import { decideByRules, subjectOf } from '../../../../src/session/conversation/permission-rules.js';
import { makeFolder } from '../../../support/folders.js';
import { seeded } from '../../../support/seeded.js';
import { generateScript, quoted } from './generate-script.js';

const END = '--end--';

interface Traced {
  script: string;
  /** What ran of the two programs, each with its words. */
  ran: string[];
}

const asCodex = (script: string) => `/bin/bash -lc ${quoted(script)}`;
const decide = (script: string, ...rules: PermissionRule[]) =>
  decideByRules(rules, subjectOf('command', { command: asCodex(script) }, []));

const pushes = ({ ran }: Traced) =>
  ran.some((line) => /^victim (?:-\S+ (?:\S+ )?)*push\b/.test(line) && !line.startsWith('victim pull'));

/** Holds rules against what a real bash runs of so many scripts. */
export function holdAgainstBash(count: number): void {
  const traced: Traced[] = [];
  let bin: string;

  /** Runs generated scripts in a real bash, in which two programs write down how they were called. */
  beforeAll(async () => {
    const folder = await makeFolder();
    bin = join(folder.path, 'bin');
    const log = join(folder.path, 'log');
    await mkdir(bin);
    for (const name of ['victim', 'other']) {
      // "other" also runs its operands, as a wrapper that nobody knows.
      const more = name === 'other' ? 'shift 0; [ "$1" = victim ] && "$@"; true' : 'true';
      await writeFile(join(bin, name), `#!/bin/sh\necho ${name} "$@" >> ${log}\n${more}\n`);
      await chmod(join(bin, name), 0o755);
    }
    const random = seeded(20_261_130);
    const scripts = Array.from({ length: count }, () => generateScript(random, bin));
    // What a script left in the background holds descriptor 9, and the pipe is waited for.
    const run = (script: string) => `timeout 5 bash -c ${quoted(script)} 9>&1 > /dev/null | timeout 10 cat`;
    const driver = scripts
      .map((script) => `(mkdir -p w && cd w && ${run(script)}; cd ..; rm -rf w); echo ${END} >> ${log}`)
      .join('\n');
    await writeFile(join(folder.path, 'driver'), driver);
    await writeFile(log, '');
    spawnSync('bash', ['driver'], {
      cwd: folder.path,
      env: { PATH: `${bin}:/usr/local/bin:/usr/bin:/bin`, HOME: folder.path },
      stdio: 'ignore',
    });
    const runs = (await readFile(log, 'utf8')).split(`${END}\n`);
    for (const [i, script] of scripts.entries())
      traced.push({ script, ran: runs[i]!.split('\n').filter((line) => line !== '') });
    await rm(join(folder.path, 'driver'));
    await folder.remove();
  }, 300_000);

  test('Bash ran the command in question, but not in all scripts', () => {
    const pushing = traced.filter(pushes).length;
    expect(pushing).toBeGreaterThan(count / 5);
    expect(pushing).toBeLessThan((count * 4) / 5);
  });

  test('a deny rule matched every command that Bash ran', () => {
    const deny: PermissionRule = { commandPrefix: ['victim', 'push'], then: 'deny' };
    const passed = traced.filter(
      (each) => pushes(each) && decide(each.script, deny, { kind: 'command', then: 'allow' }) !== 'deny',
    );
    expect(passed.map(({ script, ran }) => ({ script, ran }))).toEqual([]);
  });

  test('allowed scripts ran nothing but the listed commands', () => {
    const listed = [['victim', 'status'], ['other', 'run'], ['echo'], ['true'], ['cat'], ['cd', '.']];
    const rules = listed.map((commandPrefix): PermissionRule => ({ commandPrefix, then: 'allow' }));
    const allowed = traced.filter(({ script }) => decide(script, ...rules) === 'allow');
    expect(allowed.length).toBeGreaterThan(count / 50);
    const more = allowed.filter(({ ran }) => ran.some((line) => !/^(?:victim status|other run)/.test(line)));
    expect(more).toEqual([]);
  });

  test('a script that is plainly data is not denied', () => {
    const deny: PermissionRule = { commandPrefix: ['victim', 'push'], then: 'deny' };
    for (const script of [
      'echo victim push',
      'echo "victim push"',
      'git commit -m "then victim push"',
      'grep -r "victim push" src | head -5',
      'victim status && victim pull',
      'victim log --format="%h (%an)"',
      'npm test 2>&1 | tail -20',
    ])
      expect(decide(script, deny, { kind: 'command', then: 'allow' }), script).toBe('allow');
  });
}
