/** When those who follow tasks receive again after their worker was killed. */
export interface Subscribers {
  /** From here on those who follow now are waited for, as a killed worker's. */
  killed(): void;
  /** A worker's process begins. */
  began(): void;
  /** A task that has ended has no follower any more. */
  forget(taskId: string): void;
  /**
   * From the beginning of the process after the kill to the accepted reconnect with its replay: one figure for each
   * follower since the last call, milliseconds.
   */
  take(): number[];
  close(): void;
}

/** Sees each event stream that this process opens and that the listener there accepts. */
export function watchSubscribers(listenerUrl: string): Subscribers {
  const following = new Set<string>();
  let missing = new Set<string>();
  let beganAt: number | null = null;
  let taken: number[] = [];
  const accepted: Accepted = (url, taskId) => {
    if (!url.startsWith(`${listenerUrl}/`)) return;
    following.add(taskId);
    if (beganAt !== null && missing.delete(taskId)) taken.push(performance.now() - beganAt);
  };
  seeStreams(accepted);
  return {
    killed() {
      missing = new Set(following);
      beganAt = null;
    },
    began: () => void (beganAt ??= performance.now()),
    forget(taskId) {
      following.delete(taskId);
      missing.delete(taskId);
    },
    take() {
      const all = taken;
      taken = [];
      return all;
    },
    close: () => void seeing.delete(accepted),
  };
}

type Accepted = (url: string, taskId: string) => void;

const seeing = new Set<Accepted>();
let isSeeing = false;

/** The client has no hook for an accepted stream, and needs none but here. */
function seeStreams(accepted: Accepted): void {
  seeing.add(accepted);
  if (isSeeing) return;
  isSeeing = true;
  const plain = globalThis.fetch;
  globalThis.fetch = async (input, init) => {
    const response = await plain(input, init);
    const url = typeof input === 'string' ? input : '';
    const taskId = /\/tasks\/([^/]+)\/events$/.exec(url)?.[1];
    if (taskId !== undefined && response.status === 200) for (const each of seeing) each(url, taskId);
    return response;
  };
}
