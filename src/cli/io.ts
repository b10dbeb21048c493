import { Interrupted, EXIT } from './exit-codes.js';
import { createOutput, type Output } from './output.js';

/** What a command may touch of its process. */
export interface CliIo {
  readonly env: NodeJS.ProcessEnv;
  readonly stdin: NodeJS.ReadableStream;
  output(json: boolean | undefined): Output;
  /**
   * Aborts at the first SIGINT or SIGTERM; the second one ends the process at once, unless `onSecond` says that it
   * meant something else. The third one always does.
   */
  untilSignal(onSecond?: () => boolean): AbortSignal;
}

/** The command line's own process. */
export const processIo = (): CliIo => ({
  env: process.env,
  stdin: process.stdin,
  output: (json) => createOutput(json === true),
  untilSignal,
});

/** Everything that stdin holds. */
export async function readAll(stdin: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}

function untilSignal(onSecond: () => boolean = () => false): AbortSignal {
  const controller = new AbortController();
  let count = 0;
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.on(name, () => {
      count++;
      if (count > 2 || (count === 2 && !onSecond())) process.exit(EXIT.interrupted);
      controller.abort(new Interrupted(name));
    });
  return controller.signal;
}
