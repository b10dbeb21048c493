import { TaskError } from '../errors.js';
import type { CommandExecResponse } from './protocol.js';
import type { Rpc } from './rpc.js';
import { TASK_PROFILE } from './sandbox-profile.js';

export interface GuardedPlaces {
  readonly work: string;
  readonly codexHome: string;
}

/**
 * Runs two commands under the task's permission profile: one must work, and one must not see codex's home,
 * where the credential is. Needs a connection with `experimentalApi`; not for `danger-full-access`.
 * @throws TaskError `HostUnfit` when this machine has no user namespaces, or the sandbox does not hold
 */
export async function checkSandbox(
  rpc: Pick<Rpc, 'call'>,
  { work, codexHome }: GuardedPlaces,
  signal?: AbortSignal,
): Promise<void> {
  const run = async (...command: string[]) => {
    const params = { command, cwd: work, permissionProfile: TASK_PROFILE, timeoutMs: COMMAND_MS };
    return rpc.call('command/exec', params, { timeoutMs: COMMAND_MS + ANSWER_MS, signal });
  };
  let harmless = await run('/bin/true');
  for (let tries = 1; tries < TRIES && isVanishedPlace(harmless); tries++) harmless = await run('/bin/true');
  if (harmless.exitCode !== 0) throw unfit(harmless);
  // The second is always there, so that a task without a credential is checked as well.
  const peeping = await run('/bin/cat', `${codexHome}/auth.json`, `${codexHome}/config.toml`);
  if (peeping.exitCode === 0 || peeping.stdout !== '')
    throw new TaskError(
      'HostUnfit',
      `codex's sandbox does not hold on this host: a command could read ${codexHome}; no task can run here`,
    );
}

const TRIES = 5;
/** A readable place that is removed between codex's look at it and bubblewrap's mount: the next look misses it. */
const isVanishedPlace = ({ exitCode, stderr }: CommandExecResponse): boolean =>
  exitCode !== 0 && /Can't (get type of source|find source path)/.test(stderr);

const COMMAND_MS = 10_000;
const ANSWER_MS = 5_000;

function unfit({ exitCode, stderr }: CommandExecResponse): TaskError {
  const said = stderr.trim().split('\n').at(-1)?.slice(0, 300) || `exit code ${exitCode}`;
  return new TaskError(
    'HostUnfit',
    `codex's sandbox cannot start (${said}); allow unprivileged user namespaces ` +
      '(sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0; in a container ' +
      'seccomp and AppArmor unconfined), or ask for sandbox mode danger-full-access',
  );
}
