import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import { SerialQueue } from '../async/serial-queue.js';
import type { HostSignals } from '../contract/index.js';
import type { TaskRef } from '../contract/activities.js';

/** What a scripted host says to its task's workflow, one word after the other, as a real one does. */
export interface TaskSignals {
  say<N extends keyof HostSignals>(name: N, argument: HostSignals[N]): void;
  /** Resolves when all of it is said. @throws what Temporal answered to one that it did not take */
  said(): Promise<void>;
}

export function openTaskSignals(client: Client, { taskId, runId }: TaskRef): TaskSignals {
  const queue = new SerialQueue();
  const handle = client.workflow.getHandle(taskId, undefined, { firstExecutionRunId: runId });
  let failed: { error: unknown } | null = null;
  const send = async (name: string, argument: unknown) => {
    try {
      await handle.signal(name, argument);
    } catch (error) {
      // It ended meanwhile: nobody waits for the word.
      if (!(error instanceof WorkflowNotFoundError)) failed ??= { error };
    }
  };
  return {
    say: (name, argument) => void queue.run(() => send(name, argument)),
    async said() {
      await queue.idle();
      if (failed) throw failed.error;
    },
  };
}
