// Says whether npm has a newer codex than the pinned one, and whether the tests that compare our wire and our
// settings with what a codex tells of itself pass with it. Always ends with 0: a release of others is no fault here.
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const TESTS = ['test/codex/protocol-drift.test.ts', 'test/codex/config-keys.test.ts'];
/** Milliseconds; together under two minutes. */
const ASK_MS = 20_000;
const INSTALL_MS = 60_000;
const TESTS_MS = 60_000;

const folder = await mkdtemp(join(tmpdir(), 'newer-codex-'));
try {
  console.log(await compare());
} catch (error) {
  console.log(`warning: whether there is a newer codex could not be told: ${firstLine(error)}`);
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function compare() {
  const { dependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  const pinned = dependencies['@openai/codex'];
  const { stdout } = await run('npm', ['view', '@openai/codex', 'version'], { timeout: ASK_MS });
  const latest = stdout.trim();
  if (latest === pinned) return `codex ${pinned} is npm's latest`;
  const CODEX_TASK_CODEX_BIN = await install(latest);
  const env = { ...process.env, CODEX_TASK_CODEX_BIN, NO_COLOR: '1' };
  const args = ['vitest', 'run', '--reporter=dot', '-t', 'pinned Codex', ...TESTS];
  const failure = await run('npx', args, { cwd: root, env, timeout: TESTS_MS, maxBuffer: 1 << 24 }).then(
    () => null,
    (error) => (error.killed ? `no answer in ${TESTS_MS / 1_000} s` : `${error.stdout}${error.stderr}`),
  );
  const there = `warning: codex ${latest} is npm's latest, ${pinned} is pinned`;
  if (failure === null) return `${there}; our wire and settings fit what it tells of itself`;
  return `${there}; the tests that compare it with what is known here did not pass:\n${failure}`;
}

/** The path of its binary for this platform. */
async function install(version) {
  await writeFile(join(folder, 'package.json'), '{"private":true}');
  const args = ['install', '--no-audit', '--no-fund', '--ignore-scripts', `@openai/codex@${version}`];
  await run('npm', args, { cwd: folder, timeout: INSTALL_MS });
  const vendor = join(folder, `node_modules/@openai/codex-${process.platform}-${process.arch}/vendor`);
  const [triple = ''] = await readdir(vendor);
  return join(vendor, triple, 'bin/codex');
}

function firstLine(error) {
  return String(error instanceof Error ? error.message : error).split('\n')[0];
}
