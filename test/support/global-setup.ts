import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { reasonOf } from '../../src/errors.js';
import { findMongodb } from '../../src/dev/mongodb/choose-mongodb.js';
import { findTemporalCli } from '../../src/dev/temporal/choose-temporal.js';
import { timeSkippingServer } from '../../src/dev/temporal/time-skipping.js';
import { endLeftovers, leftoversAfter } from './leftovers.js';
import { ROOT_VARIABLE, RUN_VARIABLE } from './run-root.js';
import { SHARED_FOLDER } from './ask-shared.js';
import { offerShared, stackOptions } from './shared-servers.js';

const ROOTS = '/var/tmp';
const GRACE_MS = 5_000;

/** Runs once before all test files; fails the run when a test left a process or a folder behind. */
export default async function globalSetup(): Promise<() => Promise<void>> {
  const run = randomBytes(4).toString('hex');
  const root = join(ROOTS, `ctt-${run}`);
  process.env[RUN_VARIABLE] = run;
  process.env[ROOT_VARIABLE] = root;
  await mkdir(root, { mode: 0o700 });
  await prepareExecutables(root);
  const endShared = await offerShared();
  return async () => {
    await endShared();
    const leftovers = await leftoversAfter([`${RUN_VARIABLE}=${run}`, root], GRACE_MS);
    await endLeftovers(leftovers);
    const folders = await foldersIn(root);
    await rm(root, { recursive: true, force: true, maxRetries: 3 });
    const faults = [
      ...leftovers.map(({ pid, command }) => `process ${pid}: ${command}`),
      ...folders.map((path) => `folder ${path}`),
    ];
    if (faults.length === 0) return;
    // The runner only prints what is thrown here.
    process.exitCode = 1;
    throw new Error(`Left behind by the tests:\n  ${faults.join('\n  ')}`);
  };
}

/** What tests left there: the folders of their processes stay, empty. */
async function foldersIn(root: string): Promise<string[]> {
  const names = (await readdir(root)).filter((name) => name !== SHARED_FOLDER);
  const left = await Promise.all(
    names.map(async (name) => (await readdir(join(root, name))).map((each) => join(root, name, each))),
  );
  return left.flat();
}

/**
 * Fetches and builds on a machine's first run, before any test's time limit runs. What cannot be had is the
 * failure of the tests that ask for it.
 */
async function prepareExecutables(root: string): Promise<void> {
  const options = stackOptions(root, new AbortController().signal);
  const quietOnceThere = { ...options, say: (line: string) => onlyProgress(line, options.say) };
  const prepared = await Promise.allSettled([
    findMongodb(quietOnceThere),
    findTemporalCli(quietOnceThere),
    timeSkippingServer(quietOnceThere),
  ]);
  for (const part of prepared) if (part.status === 'rejected') options.say(reasonOf(part.reason));
}

function onlyProgress(line: string, say: (line: string) => void): void {
  if (line.endsWith(', once')) say(line);
}
