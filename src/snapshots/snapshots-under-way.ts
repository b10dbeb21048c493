/** Calls that read a task's folder, by the folder; the newest of each waits for the ones before. */
const underWay = new Map<string, { last: Promise<unknown>; stop: AbortController }>();

/** Runs calls for one folder one after another. `run` gets a signal that `endSnapshots` aborts as well. */
export async function inTurn<T>(
  folder: string,
  signal: AbortSignal | undefined,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const before = underWay.get(folder);
  const stop = before?.stop ?? new AbortController();
  const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const mine = (async () => {
    await before?.last.catch(() => undefined);
    either.throwIfAborted();
    return run(either);
  })();
  const entry = { last: mine, stop };
  underWay.set(folder, entry);
  try {
    return await mine;
  } finally {
    if (underWay.get(folder) === entry) underWay.delete(folder);
  }
}

/** Ends what still reads a folder that is about to go; a step that nobody waits for any more may. */
export async function endSnapshots(folder: string): Promise<void> {
  const entry = underWay.get(folder);
  entry?.stop.abort(new Error('the folder is removed'));
  await entry?.last.catch(() => undefined);
}
