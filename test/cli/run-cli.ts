import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

export interface CliRun {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the built command line in a process of its own; `stdin` is closed after what is given. */
export async function runCli(
  packageFolder: string,
  args: readonly string[],
  { env = {}, stdin = '' }: { env?: NodeJS.ProcessEnv; stdin?: string } = {},
): Promise<CliRun> {
  const child = spawnCli(packageFolder, args, env);
  child.stdin.end(stdin);
  const exited = once(child, 'exit') as Promise<[number | null]>;
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
  return { code, stdout, stderr };
}

/** Starts the built command line. */
export const spawnCli = (packageFolder: string, args: readonly string[], env: NodeJS.ProcessEnv) =>
  spawn(process.execPath, [join(packageFolder, 'lib', 'cli', 'main.js'), ...args], {
    env: { ...process.env, CODEX_TASK_DATA_DIR: join(packageFolder, 'data'), ...env },
  });
