import { execFile } from 'node:child_process';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { CODEX_VERSION, findCodex } from '../../src/codex/binary.js';
import { packageRoot } from '../../src/dev/package-root.js';
import { testFolder } from '../support/folders.js';

const run = promisify(execFile);

/** What the script says where `npm` is this shell script; it fails the test where it ends with another code than 0. */
async function sayWith(npm: string): Promise<string> {
  const bin = await testFolder();
  await writeFile(join(bin, 'npm'), `#!/bin/sh\n${npm}\n`);
  await chmod(join(bin, 'npm'), 0o755);
  const env: NodeJS.ProcessEnv = { ...process.env, PATH: `${bin}:${process.env['PATH']}` };
  // It begins tests of its own.
  for (const name of Object.keys(env)) if (/^(VITEST|TEST$|CODEX_TASK_TEST)/.test(name)) delete env[name];
  const { stdout } = await run(process.execPath, [join(packageRoot, 'scripts/newer-codex.mjs')], { env });
  return stdout.trim();
}

/** An npm whose newest codex is this program. */
const newest = (program: string) => `
case "$1" in
  view) echo 99.0.0 ;;
  install)
    bin=node_modules/@openai/codex-${process.platform}-${process.arch}/vendor/triple/bin
    mkdir -p "$bin" && ln -s '${program}' "$bin/codex" ;;
esac`;

test('reports nothing to do while the pinned codex is the newest', async () => {
  expect(await sayWith(`echo ${CODEX_VERSION}`)).toBe(`codex ${CODEX_VERSION} is npm's latest`);
});

test('warns when npm cannot be reached', async () => {
  expect(await sayWith('echo no network >&2; exit 1')).toMatch(
    /^warning: .* could not be told: Command failed/,
  );
});

test('reports a newer codex with the same wire protocol', async () => {
  const { path } = await findCodex();
  expect(await sayWith(newest(path))).toBe(
    `warning: codex 99.0.0 is npm's latest, ${CODEX_VERSION} is pinned; our wire and settings fit what it tells of itself`,
  );
});

test('reports a newer codex with another wire protocol and what differs', async () => {
  const { path } = await findCodex();
  const program = join(await testFolder(), 'codex');
  // Changes the schema that it writes.
  await writeFile(
    program,
    `#!/bin/sh\n'${path}' "$@" || exit\nfor last; do :; done\n[ "$1 $2" != 'app-server generate-json-schema' ] ||\n  sed -i 's/"turn\\/steer"/"turn\\/nudge"/g' "$last/codex_app_server_protocol.schemas.json"\n`,
  );
  await chmod(program, 0o755);
  const said = await sayWith(newest(program));
  expect(said).toMatch(/^warning: codex 99\.0\.0 is npm's latest, .* did not pass:/);
  expect(said).toContain('ClientRequest turn/steer: no such method');
});

test('names only tests that exist', async () => {
  const script = await readFile(join(packageRoot, 'scripts/newer-codex.mjs'), 'utf8');
  for (const [, path = ''] of script.matchAll(/'(test\/[^']+)'/g))
    expect(await readFile(join(packageRoot, path), 'utf8')).toMatch(/^test\('.*pinned Codex/m);
});
