import { constants } from 'node:fs';
import { lstat, mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { DELIVERABLES } from './deliverables.js';
import { PROTOCOL_LOG } from './host-protocol.js';
import { removeFolder } from '../../task-folder/remove-folder.js';
import type { TaskSpec } from '../../contract/task-spec.js';

/** Programs that open an address: a replacement writes it into the log. */
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
/** Next to the workdir, where no command can write: these programs run outside the sandbox too. */
const binOf = (work: string): string => `${work}-bin`;
/** Their earlier place in a workdir, which a restored one may still have. */
const FORMER_BIN = '.optio';

/**
 * Prepares a workdir, perhaps a restored one, for the log keywords: an empty log, the earlier one renamed, and a
 * folder for deliverables. Follows no link in their place.
 * @param goesOn the task is the same: its log is read on
 */
export async function prepareProtocol(work: string, goesOn = false): Promise<void> {
  const log = join(work, PROTOCOL_LOG);
  const earlier = await lstat(log).catch(() => null);
  if (!goesOn || !earlier?.isFile()) await makeLog(log, earlier !== null);
  const deliverables = join(work, DELIVERABLES);
  const there = await lstat(deliverables).catch(() => null);
  if (there && !there.isDirectory()) await moveAside(deliverables);
  await mkdir(deliverables, { recursive: true });
  await makeBrowsers(work);
}

async function makeLog(log: string, hasEarlier: boolean): Promise<void> {
  if (hasEarlier) await moveAside(log);
  const { O_WRONLY, O_CREAT, O_EXCL } = constants;
  await (await open(log, O_WRONLY | O_CREAT | O_EXCL, 0o644)).close();
}

/** Renames it to the first free name, so that no earlier log of the agent is lost. */
async function moveAside(path: string): Promise<void> {
  for (let count = 1; ; count++) {
    const aside = `${path}.old${count === 1 ? '' : `.${count}`}`;
    if (!(await lstat(aside).catch(() => null))) return rename(path, aside);
  }
}

/** Environment by which a program that opens a browser reaches the log. */
export function protocolEnvironment(
  { hostProtocol }: Pick<TaskSpec, 'hostProtocol'>,
  work: string,
  { PATH = '/usr/local/bin:/usr/bin:/bin' }: NodeJS.ProcessEnv,
): Record<string, string> {
  if (!hostProtocol) return {};
  const bin = binOf(work);
  return { BROWSER: join(bin, 'xdg-open'), PATH: `${bin}${delimiter}${PATH}` };
}

async function makeBrowsers(work: string): Promise<void> {
  await removeAny(join(work, FORMER_BIN));
  const bin = binOf(work);
  await removeAny(bin);
  await mkdir(bin, { mode: 0o755 });
  for (const name of BROWSERS)
    await writeFile(join(bin, name), scriptFor(join(work, PROTOCOL_LOG)), { mode: 0o755, flag: 'wx' });
}

/** The last argument is the address (`gio open ADDRESS`); the reader of the log rejects invalid ones. */
const scriptFor = (log: string): string => `#!/bin/sh
for url; do :; done
printf 'BROWSER: "%s"\\n' "$url" >> '${log.replaceAll("'", `'\\''`)}'
`;

async function removeAny(path: string): Promise<void> {
  const there = await lstat(path).catch(() => null);
  if (there?.isDirectory()) await removeFolder(path);
  else await rm(path, { force: true });
}
