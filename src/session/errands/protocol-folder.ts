import { constants } from 'node:fs';
import { chmod, lstat, mkdir, open, rename, rm } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import type { TaskSpec } from '../../task-input.js';
import { DELIVERABLES } from './deliverables.js';
import { PROTOCOL_LOG } from './host-protocol.js';
import { writeInWork } from '../snapshots/place-files.js';
import { removeFolder } from '../records/remove-folder.js';

/** Programs that open an address: in their place is one that says so in the log. */
const BROWSERS = [
  'xdg-open',
  'sensible-browser',
  'www-browser',
  'x-www-browser',
  'gio',
  'open',
  'chromium',
  'chromium-browser',
  'chrome',
  'google-chrome',
  'google-chrome-stable',
  'firefox',
];
const BIN = '.optio/bin';

/**
 * Makes what the log keywords need in a workdir, which may be a restored one: an empty log, the earlier one kept
 * beside it, and a folder for deliverables. Nothing that lies in their place is followed.
 * @param goesOn it is the same task's: its log is read on
 */
export async function prepareProtocol(work: string, goesOn = false): Promise<void> {
  const log = join(work, PROTOCOL_LOG);
  const earlier = await lstat(log).catch(() => null);
  if (!goesOn || !earlier?.isFile()) await makeLog(log, earlier !== null);
  const deliverables = join(work, DELIVERABLES);
  const there = await lstat(deliverables).catch(() => null);
  if (there && !there.isDirectory()) await removeAny(deliverables);
  await mkdir(deliverables, { recursive: true });
  await makeBrowsers(work);
}

async function makeLog(log: string, hasEarlier: boolean): Promise<void> {
  if (hasEarlier) {
    await removeAny(`${log}.old`);
    await rename(log, `${log}.old`);
  }
  const { O_WRONLY, O_CREAT, O_EXCL } = constants;
  await (await open(log, O_WRONLY | O_CREAT | O_EXCL, 0o644)).close();
}

/** What commands get so that a program which opens a browser reaches the log. */
export function protocolEnvironment(
  { hostProtocol }: Pick<TaskSpec, 'hostProtocol'>,
  work: string,
  { PATH = '/usr/local/bin:/usr/bin:/bin' }: NodeJS.ProcessEnv,
): Record<string, string> {
  if (!hostProtocol) return {};
  const bin = join(work, BIN);
  return { BROWSER: join(bin, 'xdg-open'), PATH: `${bin}${delimiter}${PATH}` };
}

async function makeBrowsers(work: string): Promise<void> {
  const bin = join(work, BIN);
  await removeAny(dirname(bin));
  for (const name of BROWSERS) {
    await writeInWork(work, `${BIN}/${name}`, Readable.from([SCRIPT]));
    await chmod(join(bin, name), 0o755);
  }
}

/** The last argument is the address (`gio open ADDRESS`); what cannot be one is refused where it is read. */
const SCRIPT = `#!/bin/sh
for url; do :; done
printf 'BROWSER: "%s"\\n' "$url" >> "$(dirname "$0")/../../${PROTOCOL_LOG}"
`;

async function removeAny(path: string): Promise<void> {
  const there = await lstat(path).catch(() => null);
  if (there?.isDirectory()) await removeFolder(path);
  else await rm(path, { force: true });
}
