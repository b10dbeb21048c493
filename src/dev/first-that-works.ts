import { TaskError } from '../errors.js';

/** What every part of the embedded stack is started with. */
export interface StackOptions {
  /** Holds the servers' data, sockets and logs; the caller holds its lock. */
  folder: string;
  /** No data kept, every port a free one. */
  ephemeral: boolean;
  /** Gets one line for what was chosen, and one before anything slow. */
  say: (line: string) => void;
  /** Ends the start; what was started by then is stopped. */
  signal: AbortSignal;
  env: NodeJS.ProcessEnv;
}

/** One way to obtain a server: found and startable, or a reason in a few words. */
export type Way<Server> = (options: StackOptions) => Promise<Found<Server> | NotObtained>;
export interface Found<Server> {
  what: string;
  start: () => Promise<Server>;
}
export interface NotObtained {
  because: string;
}

/**
 * The first of `ways` that can be used here; says which one it is and why none before it.
 * @throws TaskError `Unavailable` with every reason when none can
 */
export async function firstThatWorks<Choice extends { what: string }>(
  part: string,
  variable: string,
  ways: readonly ((options: StackOptions) => Promise<Choice | NotObtained>)[],
  options: StackOptions,
): Promise<Choice> {
  const refusals: string[] = [];
  for (const way of ways) {
    options.signal.throwIfAborted();
    const answer = await way(options);
    if ('because' in answer) {
      refusals.push(answer.because);
      continue;
    }
    options.say(`${part}: ${answer.what}${refusals.length > 0 ? ` (${refusals.join(', ')})` : ''}`);
    return answer;
  }
  throw new TaskError(
    'Unavailable',
    `No ${part} available: ${refusals.join(', ')}; fix one of these, or start one and set ${variable}`,
  );
}
