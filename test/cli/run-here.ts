import { PassThrough } from 'node:stream';
import { createOutput } from '../../src/cli/output.js';
import { run } from '../../src/cli/program.js';
import type { CliRun } from './run-cli.js';

export interface RunHere extends CliRun {
  /** The lines of stdout as JSON. */
  json: () => Record<string, unknown>[];
}

/**
 * Runs a command in this process, where starting one shows nothing. The environment is what is given alone.
 * @param typed what a person types at a terminal, a function: once something is said there; null: stdin is empty and
 * no terminal
 */
export async function runHere(
  args: readonly string[],
  {
    env = {},
    typed = null,
  }: { env?: NodeJS.ProcessEnv; typed?: string | (() => Promise<string>) | null } = {},
): Promise<RunHere> {
  const stdin = Object.assign(new PassThrough(), typed !== null && { isTTY: true });
  const isAnswer = typeof typed === 'function';
  if (!isAnswer) stdin.end(typed ?? '');
  const said = { stdout: '', stderr: '' };
  const answers: Promise<void>[] = [];
  const answer = async () => {
    if (isAnswer) stdin.end(await typed());
  };
  const into = (name: keyof typeof said) => ({
    write(text: string) {
      said[name] += text;
      if (name === 'stderr' && answers.length === 0) answers.push(answer());
      return true;
    },
  });
  const streams = { stdout: into('stdout'), stderr: into('stderr') } as unknown as NodeJS.Process;
  const untilSignal = () => new AbortController().signal;
  const output = (json?: boolean) => createOutput(json === true, streams);
  const code = await run(args, { env, stdin, output, untilSignal });
  await Promise.all(answers);
  const lines = () => said.stdout.split('\n').filter((line) => line !== '');
  return { code, ...said, json: () => lines().map((line) => JSON.parse(line) as Record<string, unknown>) };
}
