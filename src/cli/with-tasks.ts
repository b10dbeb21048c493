import { connectTemporal, createTaskClient, type TaskClient } from '../client/index.js';
import { readConfig } from '../config.js';
import { readListenerSecret } from '../listener-secret.js';
import type { CliIo } from './io.js';

/** Runs with a client of the environment's Temporal, and disconnects afterwards. */
export async function withTasks<T>(io: CliIo, run: (tasks: TaskClient) => Promise<T>): Promise<T> {
  const { taskQueue, listenerSecret, dataDir } = readConfig(io.env);
  // Only some commands need it, and those say so when there is none.
  const secret = listenerSecret ?? (await readListenerSecret(dataDir).catch(() => undefined));
  const link = await connectTemporal(io.env);
  try {
    return await run(
      createTaskClient({
        client: link.client,
        taskQueue,
        ...(secret !== undefined && { listenerSecret: secret }),
      }),
    );
  } finally {
    await link.close();
  }
}
