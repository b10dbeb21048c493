import type { CodexTaskInput } from '../../contract.js';
import { insertSeed } from '../../store/seeds.js';
import type { Store } from '../../store/mongo.js';
import { demoScript, modelProvider, startModelServer } from '../../dev/model-server.js';

/** What answers codex in the demo, and what the task needs for it. */
export interface DemoModel {
  readonly says: string;
  readonly input: CodexTaskInput;
  /** The seed it put into the pool. */
  readonly seedId: string | null;
  close(): Promise<void>;
}

export const DEMO_POOL = 'demo';

const PROMPT = "Run this command outside the sandbox: echo 'Hello from codex' > hello.txt && cat hello.txt";

/** The real API when there is a key for it, else a scripted model and a seed that is worth nothing. */
export async function chooseModel(env: NodeJS.ProcessEnv, store: Store): Promise<DemoModel> {
  if (env['OPENAI_API_KEY']) {
    return {
      says: 'the real API, by OPENAI_API_KEY',
      // A real model may well find that the sandbox will do; under `untrusted` the command asks in any case.
      input: {
        prompt: PROMPT,
        credential: { apiKeyEnv: 'OPENAI_API_KEY' },
        approvals: { policy: 'untrusted' },
      },
      seedId: null,
      close: async () => undefined,
    };
  }
  const server = await startModelServer({ script: demoScript });
  const authJson = Buffer.from('{"OPENAI_API_KEY":"demo-key-of-no-value"}');
  const seedId = await insertSeed(store, { authJson, pool: DEMO_POOL });
  return {
    says: `scripted, at ${server.url} (with OPENAI_API_KEY set it is the real one)`,
    input: {
      prompt: PROMPT,
      credential: { pool: DEMO_POOL },
      approvals: { policy: 'on-request' },
      codexConfig: modelProvider(server.url),
    },
    seedId,
    close: () => server.close(),
  };
}
