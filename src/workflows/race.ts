import { CancellationScope } from '@temporalio/workflow';

/** Runs all; the first to settle decides, and the others are cancelled and have ended when this returns. */
export async function raceInScope<T>(...runs: (() => Promise<T>)[]): Promise<T> {
  const scopes = runs.map(() => new CancellationScope());
  const running = runs.map((run, i) => scopes[i]!.run(run));
  for (const each of running) each.catch(() => undefined);
  try {
    return await Promise.race(running);
  } finally {
    for (const scope of scopes) scope.cancel();
    await CancellationScope.nonCancellable(() => Promise.allSettled(running));
  }
}
