import type { Store } from '../store/mongo.js';
import type { CliIo } from './io.js';

/** Runs with the environment's database, and disconnects afterwards. */
export async function withStore<T>(io: CliIo, run: (store: Store) => Promise<T>): Promise<T> {
  // Help and wrong usage come without the driver, which takes a while to load.
  const [{ openStore }, { readConfig }] = await Promise.all([
    import('../store/open-store.js'),
    import('../config.js'),
  ]);
  const { mongodbUri, mongoPrefix, seedKeys } = readConfig(io.env);
  const store = await openStore({ uri: mongodbUri, prefix: mongoPrefix, seedKeys });
  for (const warning of store.warnings) io.output(undefined).note(warning);
  try {
    return await run(store);
  } finally {
    await store.close();
  }
}
