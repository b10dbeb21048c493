import type { CodexTaskInput } from '../../contract/index.js';
import { insertSeed } from '../../store/seeds.js';
import type { Store } from '../../store/mongo.js';
import {
  modelProvider,
  startModelServer,
  type ModelRequest,
  type ModelScript,
} from '../../dev/model-server.js';

/** The model of the demo, and what the task needs for it. */
export interface DemoModel {
  readonly says: string;
  readonly input: CodexTaskInput;
  /** What the scripted one was asked so far; null: it is the real one. */
  readonly requests: readonly ModelRequest[] | null;
  /** The seed it put into the pool. */
  readonly seedId: string | null;
  close(): Promise<void>;
}

export const DEMO_POOL = 'demo';

/** The real API when there is a key for it, else a model that follows the script, and a seed that is worth nothing. */
export async function chooseModel(
  env: NodeJS.ProcessEnv,
  store: Store,
  script: ModelScript,
): Promise<DemoModel> {
  if (env['OPENAI_API_KEY']) {
    return {
      says: 'the real API, by OPENAI_API_KEY',
      input: { credential: { apiKeyEnv: 'OPENAI_API_KEY' } },
      requests: null,
      seedId: null,
      close: async () => undefined,
    };
  }
  const server = await startModelServer({ script });
  const authJson = Buffer.from('{"OPENAI_API_KEY":"demo-key-of-no-value"}');
  const seedId = await insertSeed(store, { authJson, pool: DEMO_POOL });
  return {
    says: `scripted, at ${server.url} (with OPENAI_API_KEY set it is the real one)`,
    input: { credential: { pool: DEMO_POOL }, codexConfig: modelProvider(server.url) },
    requests: server.requests,
    seedId,
    close: () => server.close(),
  };
}
