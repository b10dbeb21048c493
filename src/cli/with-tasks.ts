import type { TaskClient } from '../client/index.js';
import { readListenerSecret } from '../listener-secret.js';
import type { CliIo } from './io.js';

/** Runs with a client of the environment's Temporal, and disconnects afterwards. */
export async function withTasks<T>(io: CliIo, run: (tasks: TaskClient) => Promise<T>): Promise<T> {
  // Temporal's client takes half of a short command's time to load; help and wrong usage come without it.
  const [{ connectTemporal, createTaskClient }, { readConfig }] = await Promise.all([
    import('../client/index.js'),
    import('../config.js'),
  ]);
  const { taskQueue, listenerSecret, dataDir } = readConfig(io.env);
  // Only some commands need it, and those say so when there is none.
  const secret = listenerSecret ?? (await readListenerSecret(dataDir).catch(() => undefined));
  const link = await connectTemporal(io.env);
  try {
    const access = secret === undefined ? {} : { listenerSecret: secret };
    return await run(createTaskClient({ client: link.client, taskQueue, ...access }));
  } finally {
    await link.close();
  }
}
