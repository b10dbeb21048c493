import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { promisify } from 'node:util';

/** Programs that containers begin with: they end with the one program that they start, and all others with them. */
const CONTAINER_INITS = new Set(['tini', 'docker-init', 'dumb-init', 'catatonit', 'podman-init']);
const ASK_MS = 2_000;

/**
 * Why what this process leaves running would end with it, as one line for people; null: nothing says so. In a container
 * the kernel kills all others when the first process ends; systemd kills all of a service unless its KillMode spares
 * them (systemd.kill(5)).
 */
export async function whyNothingOutlives(): Promise<string | null> {
  if (process.pid === 1) return 'it is the first process of its container, with which all others end';
  if (process.ppid === 1 && CONTAINER_INITS.has(await nameOfFirst()))
    return 'it is the only program of its container, with which all others end';
  const unit = await serviceOf();
  const mode = unit && (await killModeOf(unit));
  return mode && mode !== 'process' && mode !== 'none'
    ? `systemd ends all of ${unit} with it (KillMode=${mode}): set KillMode=process in the unit`
    : null;
}

const nameOfFirst = async (): Promise<string> =>
  (await readFile('/proc/1/comm', 'utf8').catch(() => '')).trim();

/** The systemd service that this process belongs to, from its control group; null: none. */
async function serviceOf(): Promise<string | null> {
  const groups = await readFile('/proc/self/cgroup', 'utf8').catch(() => '');
  const path = groups
    .split('\n')
    .find((line) => /^(0:|\d+:name=systemd):/.test(line))
    ?.split(':')[2];
  const unit = path === undefined ? '' : basename(path);
  // What a login or a user's manager started is no service of its own.
  return unit.endsWith('.service') && !unit.startsWith('user@') ? unit : null;
}

/** Null where systemd cannot be asked. */
async function killModeOf(unit: string): Promise<string | null> {
  const answer = await promisify(execFile)('systemctl', ['show', '--property=KillMode', '--value', unit], {
    timeout: ASK_MS,
  }).catch(() => null);
  return answer?.stdout.trim() || null;
}
